-- O banco do sistema de relatórios de exemplo. `app.db` é exatamente o que este script cria:
--   rm -f app.db && sqlite3 app.db < banco.sql
PRAGMA foreign_keys = ON;
PRAGMA user_version = 3;
BEGIN;

CREATE TABLE administradores (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    usuario     TEXT NOT NULL UNIQUE COLLATE NOCASE,
    nome        TEXT NOT NULL,
    email       TEXT NOT NULL,
    senha_hash  TEXT NOT NULL,
    ativo       INTEGER NOT NULL DEFAULT 1 CHECK (ativo IN (0, 1)),
    criado_em   TEXT NOT NULL
);

CREATE TABLE dp_users (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    usuario     TEXT NOT NULL UNIQUE,
    nome        TEXT NOT NULL,
    senha_hash  TEXT NOT NULL,
    ultimo_acesso TEXT
);

CREATE TABLE trafego_users (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    usuario     TEXT NOT NULL UNIQUE,
    nome        TEXT NOT NULL,
    turno       TEXT NOT NULL CHECK (turno IN ('manhã', 'tarde', 'noite')),
    senha_hash  TEXT NOT NULL
);

CREATE TABLE porteiros (
    matricula   TEXT PRIMARY KEY,
    nome        TEXT NOT NULL,
    portaria    INTEGER NOT NULL,
    assinatura  BLOB
) WITHOUT ROWID;

CREATE TABLE tipos_relatorio (
    id          INTEGER PRIMARY KEY,
    nome        TEXT NOT NULL UNIQUE,
    setor       TEXT NOT NULL,
    prazo_horas REAL NOT NULL DEFAULT 24.0
);

CREATE TABLE relatorios (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    tipo_id     INTEGER NOT NULL REFERENCES tipos_relatorio (id) ON DELETE RESTRICT,
    porteiro    TEXT NOT NULL REFERENCES porteiros (matricula) ON UPDATE CASCADE,
    titulo      TEXT NOT NULL,
    descricao   TEXT,
    placa       TEXT,
    status      TEXT NOT NULL DEFAULT 'aberto' CHECK (status IN ('aberto', 'em análise', 'fechado')),
    criado_em   TEXT NOT NULL,
    atualizado_em TEXT,
    resumo      TEXT GENERATED ALWAYS AS (upper(substr(titulo, 1, 24))) VIRTUAL
);

CREATE INDEX relatorios_por_data ON relatorios (criado_em DESC);
CREATE INDEX relatorios_abertos ON relatorios (tipo_id) WHERE status <> 'fechado';

CREATE VIEW vw_pendentes AS
SELECT r.id, r.titulo, t.nome AS tipo, t.setor, p.nome AS porteiro, r.criado_em
FROM relatorios r
JOIN tipos_relatorio t ON t.id = r.tipo_id
JOIN porteiros p ON p.matricula = r.porteiro
WHERE r.status <> 'fechado';

-- Os "hashes" não são de senha nenhuma.
INSERT INTO administradores (usuario, nome, email, senha_hash, criado_em) VALUES
    ('admin', 'Administração Geral', 'admin@relatorios.example', 'scrypt:exemplo:0001', '2024-01-08T08:00:00'),
    ('helena', 'Helena Araújo Brandão', 'helena@relatorios.example', 'scrypt:exemplo:0002', '2024-03-11T09:12:44'),
    ('joao.couto', 'João d''Ávila Couto', 'joao@relatorios.example', 'scrypt:exemplo:0003', '2025-02-19T14:30:05');

INSERT INTO dp_users (usuario, nome, senha_hash, ultimo_acesso) VALUES
    ('dp.marcia', 'Márcia Conceição Luz', 'scrypt:exemplo:0101', '2025-08-29T17:58:10'),
    ('dp.otavio', 'Otávio Guimarães', 'scrypt:exemplo:0102', NULL),
    ('dp.estagio', 'Estagiário — conta ☂ temporária', 'scrypt:exemplo:0103', '');

INSERT INTO trafego_users (usuario, nome, turno, senha_hash) VALUES
    ('tr.silas', 'Silas Peçanha', 'manhã', 'scrypt:exemplo:0201'),
    ('tr.iracema', 'Iracema Queirós', 'tarde', 'scrypt:exemplo:0202'),
    ('tr.noel', 'Noel Assunção', 'noite', 'scrypt:exemplo:0203');

INSERT INTO porteiros VALUES
    ('P-017', 'Raimundo Nonato da Conceição', 1, x'89504e470d0a1a0a0000ff'),
    ('P-022', 'Zuleica Ramalho', 1, NULL),
    ('P-031', 'Antônio "Toninho" Falcão', 2, x''),
    ('P-040', 'Benê Müller', 3, x'00');

INSERT INTO tipos_relatorio VALUES
    (1, 'Ocorrência', 'portaria', 24.0),
    (2, 'Entrada de veículo', 'tráfego', 0.5),
    (3, 'Saída de veículo', 'tráfego', 0.5),
    (4, 'Atestado', 'departamento pessoal', 72.0),
    (5, 'Manutenção', 'administração', 168.0);

INSERT INTO relatorios (tipo_id, porteiro, titulo, descricao, placa, status, criado_em) VALUES
    (1, 'P-017', 'Portão principal não fecha', 'O motor faz barulho; o portão para a 30 cm do fim.' || char(10) || 'Técnico avisado às 06:40.', NULL, 'fechado', '2025-08-30T06:41:00'),
    (2, 'P-017', 'Caminhão de entrega', 'Nota fiscal 4.821; 12 volumes', 'BRA2E19', 'fechado', '2025-08-30T08:03:12'),
    (3, 'P-022', 'Caminhão de entrega', NULL, 'BRA2E19', 'fechado', '2025-08-30T08:55:47'),
    (4, 'P-031', 'Atestado de 2 dias', 'CID omitido; original no envelope "azul"', NULL, 'em análise', '2025-08-31T07:15:00'),
    (5, 'P-040', 'Lâmpada da guarita 3', 'Trocar por LED 9W; R$ 18,90', NULL, 'aberto', '2025-08-31T19:22:31'),
    (1, 'P-040', 'Pacote sem destinatário', 'Remetente: ''Comercial São José & Filhos''; 100% lacrado', NULL, 'aberto', '2025-08-31T21:05:09');

-- O movimento de um mês: entradas e saídas de hora em hora.
INSERT INTO relatorios (tipo_id, porteiro, titulo, descricao, placa, status, criado_em)
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 359)
SELECT 2 + i % 2,
       CASE i % 4 WHEN 0 THEN 'P-017' WHEN 1 THEN 'P-022' WHEN 2 THEN 'P-031' ELSE 'P-040' END,
       CASE i % 2 WHEN 0 THEN 'Entrada nº ' ELSE 'Saída nº ' END || (i / 2 + 1),
       CASE WHEN i % 7 = 0 THEN 'Visitante sem crachá; acompanhado até a recepção' END,
       printf('REL%dA%02d', i % 10, i % 97),
       CASE WHEN i < 340 THEN 'fechado' ELSE 'aberto' END,
       strftime('%Y-%m-%dT%H:%M:%S', '2025-08-01 06:00:00', '+' || (i * 2) || ' hours')
FROM n;

-- Só depois da carga: o gatilho marca cada mudança de status.
CREATE TRIGGER relatorios_atualizado AFTER UPDATE OF status ON relatorios
WHEN old.status <> new.status
BEGIN
    UPDATE relatorios SET atualizado_em = '2025-08-31T21:52:49' WHERE id = new.id;
END;

UPDATE relatorios SET status = 'fechado' WHERE titulo = 'Lâmpada da guarita 3';
DELETE FROM dp_users WHERE usuario = 'dp.estagio';

COMMIT;
