// Departamento pessoal: atestados em análise.
"use strict";

async function decidir(id, aceito) {
  await pedir(`/api/relatorios/${id}`, {
    method: "PATCH",
    body: JSON.stringify({ status: aceito ? "fechado" : "em análise" }),
  });
  document.querySelector(`[data-id="${id}"]`).dataset.status = aceito ? "fechado" : "em análise";
}
