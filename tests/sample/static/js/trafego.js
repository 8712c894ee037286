// Tráfego: entrada e saída de veículos; a placa é conferida antes de enviar.
"use strict";

const PLACA = /^[A-Z]{3}\d[A-Z0-9]\d{2}$/;

function placaValida(texto) {
  return PLACA.test(texto.trim().toUpperCase().replace("-", ""));
}

async function registrar(tipo, placa) {
  if (!placaValida(placa)) {
    throw new Error(`Placa inválida: ${placa}`);
  }
  return pedir("/api/trafego", { method: "POST", body: JSON.stringify({ tipo, placa }) });
}
