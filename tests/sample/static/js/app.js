// O que todas as páginas usam: pedido com erro legível, datas em português.
"use strict";

async function pedir(rota, opcoes = {}) {
  const resposta = await fetch(rota, {
    headers: { "Content-Type": "application/json" },
    ...opcoes,
  });
  const corpo = await resposta.json().catch(() => ({}));
  if (!resposta.ok) {
    throw new Error(corpo.message ?? `Erro ${resposta.status}`);
  }
  return corpo;
}

function dataLegivel(iso) {
  return new Intl.DateTimeFormat("pt-BR", { dateStyle: "short", timeStyle: "short" }).format(new Date(iso));
}

function mostrarErro(erro) {
  const aviso = document.querySelector("#aviso");
  aviso.textContent = erro.message;
  aviso.hidden = false;
}
