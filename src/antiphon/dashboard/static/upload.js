// Uploads the files that are dropped on a form, or chosen in it, and adds them to its vector store, if it has
// one: <form data-upload="vs_1">.

for (const form of document.querySelectorAll("form[data-upload]")) {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => uploadAll(form, event.target.files));
  for (const kind of ["dragenter", "dragover"]) {
    form.addEventListener(kind, (event) => {
      event.preventDefault();
      form.classList.add("over");
    });
  }
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    uploadAll(form, event.dataTransfer.files);
  });
}

async function uploadAll(form, files) {
  const ends = [];
  for (const file of files) ends.push(await uploadOne(form, file));
  if (ends.length && ends.every(Boolean)) location.reload();
}

// Whether it is there now.
async function uploadOne(form, file) {
  const entry = document.createElement("li");
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  entry.append(`${file.name} `, bar);
  form.querySelector(".uploads").append(entry);
  try {
    const made = await uploaded(file, (part) => { bar.value = part; });
    const store = form.dataset.upload;
    if (store) await window.antiphon.send("POST", `/vector_stores/${store}/files`, { file_id: made.id });
    return true;
  } catch (error) {
    entry.className = "bad";
    entry.textContent = `${file.name}: ${error.message}`;
    return false;
  }
}

// The File object. A fetch does not tell how far it is.
function uploaded(file, tell) {
  const { base, headers, over } = window.antiphon;
  const body = new FormData();
  body.append("purpose", "assistants");
  body.append("file", file);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${base}/files`);
    request.responseType = "json";
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => tell(event.loaded / (event.total || 1)));
    request.addEventListener("error", () => reject(new Error("The server cannot be reached.")));
    request.addEventListener("load", () => {
      if (request.response?.id) resolve(request.response);
      else reject(new Error(request.response?.error?.message ?? over));
    });
    request.send(body);
  });
}
