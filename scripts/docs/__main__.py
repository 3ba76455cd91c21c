"""`python -m scripts.docs` (or `make docs`) renews what the documents take from the code."""

from scripts.docs.regions import documents, renewed

if __name__ == "__main__":
    for path in documents():
        before = path.read_text(encoding="utf-8")
        after = renewed(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"renewed {path}")
