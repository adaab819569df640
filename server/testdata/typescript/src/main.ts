// Asks a server the questions of the reference, through a client whose types
// are made from the document that the server serves. Prints one line of JSON.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Execution = components["schemas"]["Execution"];

const [baseUrl, key] = process.argv.slice(2);
if (baseUrl === undefined || key === undefined) throw new Error("usage: main.js URL KEY");

const api = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${key}` } });

// must is the answer of a call that has to succeed.
function must<T>({ data, error }: { data?: T; error?: unknown }): T {
  if (data === undefined) throw new Error(JSON.stringify(error));
  return data;
}

// The last runs of a user, with the names of their strategies.
const recent = must(await api.GET("/v1/executions", { params: { query: { userId: "u1", limit: 10 } } }));

// Figures of a strategy.
const stats = must(await api.GET("/v1/strategies/{id}/stats", { params: { path: { id: "s1" } } }));

// What failed in the last hour, and who ran it.
const failures = must(await api.GET("/v1/executions", { params: { query: { success: false, within: "1h" } } }));

// Days of the last week, of 24 hours each: they touch eight.
const trends = must(await api.GET("/v1/trends", { params: { query: { days: 7 } } }));

const user = must(await api.GET("/v1/users/{id}/stats", { params: { path: { id: "u1" } } }));
const health = must(await api.GET("/v1/strategies/{id}/health", { params: { path: { id: "s1" }, query: { last: 100 } } }));
const alerts = must(await api.GET("/v1/alerts"));

// A new record, and one that is refused.
const created = must(await api.POST("/v1/executions", {
  body: { userId: "u1", strategyId: "s1", executionType: "VALIDATION", success: true, executionTime: 100 },
}));
const refused = await api.POST("/v1/executions", {
  body: { userId: "u1", strategyId: "s1", executionType: "VALIDATION", success: true, executionTime: -1 },
});

// Records older than 90 days go.
const cleanup = must(await api.POST("/v1/cleanup", { body: { olderThan: "90d" } }));

const name = (e: Execution) => `${e.user?.email} ${e.strategy?.name} ${e.success ? "ok" : "failed"}`;
console.log(JSON.stringify({
  recent: recent.items.map(name),
  successRate: stats.successRate,
  avgTime: stats.avg.executionTime,
  failures: failures.items.map(name),
  days: trends.length,
  today: trends[0]?.total,
  executions: user.totalExecutions,
  validations: health.totalValidations,
  firing: alerts.firing,
  accepted: created.accepted,
  fault: refused.error?.errors?.[0]?.location,
  deleted: cleanup.deleted,
}));
