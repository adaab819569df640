// Answers calls, one JSON object {"call", "arguments"} a line on standard
// input, with one JSON object {"result", "logged", "error"} a line on standard
// output.
import { createInterface } from "node:readline";
import { PrismaPg } from "@prisma/adapter-pg";
import { Prisma, PrismaClient } from "@prisma/client";
import { reference } from "./reference.js";

const prisma = new PrismaClient({
  adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }),
});
const logs = prisma.sandboxExecutionLog;

type Data = Prisma.SandboxExecutionLogUncheckedCreateInput & { id: string; createdAt: string };

const writes = {
  createUser: (data: Prisma.UserCreateInput) => prisma.user.create({ data }),
  createStrategy: (data: Prisma.StrategyCreateInput) => prisma.strategy.create({ data }),
  updateUser: (id: string, data: Prisma.UserUpdateInput) => prisma.user.update({ where: { id }, data }),
  updateStrategy: (id: string, data: Prisma.StrategyUpdateInput) => prisma.strategy.update({ where: { id }, data }),
  deleteUser: (id: string) => prisma.user.delete({ where: { id } }),
  deleteStrategy: (id: string) => prisma.strategy.delete({ where: { id } }),

  all: () => logs.findMany({ orderBy: [{ createdAt: "desc" }, { id: "desc" }], include: { user: true, strategy: true } }),
  find: (id: string) => logs.findUnique({ where: { id } }),
  create: (data: Data) => logs.create({ data }),
  createEach: async (data: Data[]) => {
    for (const one of data) await logs.create({ data: one });
  },
  createMany: (data: Data[]) => logs.createMany({ data }),
  createManySkipping: (data: Data[]) => logs.createMany({ data, skipDuplicates: true }),
  delete: (id: string) => logs.delete({ where: { id } }),
  update: (id: string, data: Partial<Data>) => logs.update({ where: { id }, data }),
  deleteMany: (where: Prisma.SandboxExecutionLogWhereInput) => logs.deleteMany({ where }),

  upsertPlain: (data: Data) => logs.upsert({ where: { id: data.id }, create: data, update: data }),
  upsertIncluding: (data: Data) =>
    logs.upsert({ where: { id: data.id }, create: data, update: data, include: { strategy: true } }),
  upsertSelecting: (data: Data) =>
    logs.upsert({ where: { id: data.id }, create: data, update: data, select: { id: true, strategy: { select: { name: true } } } }),
  upsertByKey: ({ id, userId, createdAt, ...rest }: Data) =>
    logs.upsert({
      where: { userId_createdAt_id: { userId, createdAt, id } },
      create: { id, userId, createdAt, ...rest },
      update: rest,
    }),
};

const calls: Record<string, (...args: any[]) => Promise<unknown>> = { ...writes, ...reference(prisma) };

let logged: string[] = [];
console.log = console.error = (...words: unknown[]) => logged.push(words.join(" "));

for await (const line of createInterface({ input: process.stdin })) {
  const { call, arguments: args } = JSON.parse(line);
  logged = [];
  let answer: object;
  try {
    answer = { result: await calls[call](...args), logged };
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    answer = { error: `${code ?? ""} ${message}` };
  }
  const text = JSON.stringify(answer, (_, value) => (typeof value === "bigint" ? Number(value) : value));
  process.stdout.write(text + "\n");
}
await prisma.$disconnect();
