"""How often the embedded model keeps to a grammar, with enforcement and without.

    python -m bench.grammars URL [SAMPLES]

URL is that of a server on the embedded model. For each grammar of the test suite the model is made to call a
custom tool that has it, at temperature 1; and it is asked for the same in words. An answer that the token
limit cut short never becomes a completed call: it is counted apart.
"""

import asyncio
import sys

from openai import AsyncOpenAI
from rich.console import Console
from rich.table import Table
from tests.tools.grammars import CASES, Case

from antiphon.tools.grammar import fault_of_text

TOKENS = 48
AT_ONCE = 2


async def main(url: str, samples: int) -> None:
    client = AsyncOpenAI(base_url=url, api_key="any", timeout=600)
    table = Table("grammar", "syntax", "enforced: valid", "cut", "failed", "in words: valid", "cut")
    for case in CASES:
        held = await _sample(client, case, samples, enforced=True)
        free = await _sample(client, case, samples, enforced=False)
        table.add_row(case.name, case.syntax, *held, *free[:2])
        print(case.name, held, free, flush=True)
    Console(width=110).print(table)


async def _sample(client: AsyncOpenAI, case: Case, samples: int, enforced: bool) -> tuple[str, str, str]:
    """Valid of whole answers, answers cut short, and responses that failed in words."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> tuple[str, str]:
        async with room:
            return await (_called if enforced else _said)(client, case)

    seen = await asyncio.gather(*(one() for _ in range(samples)))
    whole = [text for status, text in seen if status == "completed"]
    valid = sum(fault_of_text(case.syntax, case.definition, text) is None for text in whole)
    cut = sum(status == "incomplete" for status, _ in seen)
    return f"{valid}/{len(whole)}", str(cut), str(samples - len(whole) - cut)


async def _called(client: AsyncOpenAI, case: Case) -> tuple[str, str]:
    form = {"type": "grammar", "syntax": case.syntax, "definition": case.definition}
    response = await client.responses.create(
        model="embedded",
        input=f"Write something for the tool {case.name}.",
        tools=[{"type": "custom", "name": "write", "description": case.name, "format": form}],  # type: ignore[list-item]
        tool_choice={"type": "custom", "name": "write"},
        temperature=1,
        max_output_tokens=TOKENS,
        store=False,
    )
    texts = [item.input for item in response.output if item.type == "custom_tool_call"]
    return str(response.status), texts[0] if texts else ""


async def _said(client: AsyncOpenAI, case: Case) -> tuple[str, str]:
    response = await client.responses.create(
        model="embedded",
        input=f"Write a text that matches this {case.syntax} grammar, and nothing else:\n{case.definition}",
        temperature=1,
        max_output_tokens=TOKENS,
        store=False,
    )
    return str(response.status), response.output_text


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50))
