// Has DuckDB read the Parquet files that the argument names, and prints their
// columns and rows.
import { DuckDBInstance } from "@duckdb/node-api";

const database = await DuckDBInstance.create();
const connection = await database.connect();
const files = `read_parquet('${process.argv[2].replaceAll("'", "''")}')`;
const described = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${files}`);
const read = await connection.runAndReadAll(`SELECT * REPLACE (epoch_ms(created_at) AS created_at) FROM ${files} ORDER BY id`);
const columns = Object.fromEntries(described.getRowObjectsJson().map((c) => [c.column_name, c.column_type]));
console.log(JSON.stringify({ columns, rows: read.getRowObjectsJson() }));
