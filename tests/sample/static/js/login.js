// Formulário de entrada: a senha nunca fica no campo depois de um erro.
"use strict";

document.querySelector("form#entrar").addEventListener("submit", async (evento) => {
  evento.preventDefault();
  const campos = Object.fromEntries(new FormData(evento.target));
  try {
    const { pagina } = await pedir("/api/login", { method: "POST", body: JSON.stringify(campos) });
    window.location.assign(pagina);
  } catch (erro) {
    evento.target.senha.value = "";
    mostrarErro(erro);
  }
});
