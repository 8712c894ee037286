// Página do administrador: tipos de relatório e usuários.
"use strict";

async function carregarTipos() {
  const { tipos } = await pedir("/api/tipos");
  const lista = document.querySelector("#tipos");
  lista.replaceChildren(
    ...tipos.map((tipo) => {
      const item = document.createElement("li");
      item.textContent = `${tipo.nome} (${tipo.setor}, ${tipo.prazo_horas} h)`;
      return item;
    }),
  );
}

document.addEventListener("DOMContentLoaded", () => carregarTipos().catch(mostrarErro));
