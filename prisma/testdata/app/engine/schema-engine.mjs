#!/usr/bin/env node
// Prisma's schema engine as the program that PRISMA_SCHEMA_ENGINE_BINARY names:
// the engine's WebAssembly build behind the JSON-RPC that the command line of
// Prisma speaks with its native build, one message a line. Only PostgreSQL.
import { createInterface } from "node:readline";
import pg from "pg";
import { engine } from "./engine.mjs";

const { datamodels, url, command } = parse(process.argv.slice(2));

function parse(args) {
  const found = { datamodels: [], url: undefined, command: undefined };
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--datamodels") found.datamodels.push(args[++i]);
    else if (args[i] === "--datasource") found.url = JSON.parse(args[++i]).url;
    else if (args[i] === "cli") found.command = args[++i];
    else i++; // previews and extensions have no use here
  }
  return found;
}

const names = { getDatabaseVersion: "version" };

async function serve() {
  let started;
  let printed = 0;
  const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line);
    if (!method) continue; // the answer to a print
    try {
      if (method === "createDatabase") {
        send({ id, result: { databaseName: await createDatabase() } });
        continue;
      }
      started ??= await engine(url, datamodels);
      const result = (await started[names[method] ?? method](params)) ?? {};
      if (method === "diff" && result.stdout) {
        send({ id: `print-${++printed}`, method: "print", params: { content: result.stdout } });
      }
      send({ id, result });
    } catch (error) {
      const data = { is_panic: false, message: error.message, error_code: error.code, meta: null };
      send({ id, error: { code: 4466, message: error.message, data } });
    }
  }
}

async function createDatabase() {
  const target = new URL(url);
  const name = decodeURIComponent(target.pathname.slice(1));
  target.searchParams.delete("schema");
  target.pathname = "/postgres";
  const client = new pg.Client(target.href);
  await client.connect();
  await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`).finally(() => client.end());
  return name;
}

const commands = {
  "can-connect-to-database": async () => {
    const target = new URL(url);
    target.searchParams.delete("schema");
    const client = new pg.Client(target.href);
    await client.connect();
    await client.end();
  },
  "create-database": createDatabase,
};

if (!command) {
  await serve();
} else {
  try {
    await commands[command]();
  } catch (error) {
    const error_code = { "3D000": "P1003", "28P01": "P1000" }[error.code] ?? "P1001";
    const fields = { error_code, message: error.message };
    const lines = [{ level: "INFO", target: "schema_engine", fields: { message: command } }, { level: "ERROR", target: "schema_engine::logger", fields }];
    process.stderr.write(lines.map((line) => JSON.stringify(line)).join("\n"));
    process.exitCode = 1;
  }
}
