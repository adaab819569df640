// The queries of the example application, letter by letter.
// Their names and ids ('user-id', 'strategy-id') are what the test gives its
// users and strategies.
import type { PrismaClient } from "@prisma/client";

export function reference(prisma: PrismaClient) {
  async function recent() {
const logs = await prisma.sandboxExecutionLog.findMany({
  where: { userId: 'user-id' },
  orderBy: { createdAt: 'desc' },
  take: 10,
  include: {
    strategy: {
      select: { name: true }
    }
  }
});
    return logs;
  }

  async function strategyStats() {
const stats = await prisma.sandboxExecutionLog.aggregate({
  where: { strategyId: 'strategy-id' },
  _count: true,
  _avg: {
    executionTime: true,
    memoryUsed: true,
    cpuUsage: true
  },
  _sum: {
    errorCount: true,
    warningCount: true
  }
});
    return stats;
  }

  async function failures() {
const failedExecutions = await prisma.sandboxExecutionLog.findMany({
  where: {
    success: false,
    createdAt: {
      gte: new Date(Date.now() - 60 * 60 * 1000)
    }
  },
  include: {
    user: {
      select: { email: true }
    },
    strategy: {
      select: { name: true }
    }
  }
});
    return failedExecutions;
  }

  async function trends() {
const executionsByDay = await prisma.$queryRaw`
  SELECT
    DATE(created_at) as date,
    COUNT(*) as total,
    SUM(CASE WHEN success = true THEN 1 ELSE 0 END) as successful,
    AVG(execution_time) as avg_time,
    AVG(memory_used) as avg_memory
  FROM sandbox_execution_logs
  WHERE created_at >= NOW() - INTERVAL '7 days'
  GROUP BY DATE(created_at)
  ORDER BY date DESC
`;
    return executionsByDay;
  }

async function getUserSandboxStats(userId: string) {
  const [total, success, avgTime] = await Promise.all([
    prisma.sandboxExecutionLog.count({
      where: { userId }
    }),
    prisma.sandboxExecutionLog.count({
      where: { userId, success: true }
    }),
    prisma.sandboxExecutionLog.aggregate({
      where: { userId },
      _avg: { executionTime: true }
    })
  ]);

  return {
    totalExecutions: total,
    successRate: (success / total) * 100,
    avgExecutionTime: avgTime._avg.executionTime
  };
}

async function getStrategyHealthMetrics(strategyId: string) {
  const logs = await prisma.sandboxExecutionLog.findMany({
    where: { strategyId },
    orderBy: { createdAt: 'desc' },
    take: 100
  });

  const successRate = logs.filter(l => l.success).length / logs.length;
  const avgErrors = logs.reduce((sum, l) => sum + l.errorCount, 0) / logs.length;
  const avgWarnings = logs.reduce((sum, l) => sum + l.warningCount, 0) / logs.length;

  return {
    successRate: successRate * 100,
    avgErrors,
    avgWarnings,
    lastValidated: logs[0]?.createdAt,
    totalValidations: logs.length
  };
}

// Run daily via cron job
async function cleanupOldSandboxLogs() {
  const ninetyDaysAgo = new Date(Date.now() - 90 * 24 * 60 * 60 * 1000);

  const result = await prisma.sandboxExecutionLog.deleteMany({
    where: {
      createdAt: {
        lt: ninetyDaysAgo
      }
    }
  });

  console.log(`Deleted ${result.count} old sandbox execution logs`);
}

async function checkSandboxHealthAlert() {
  const last100 = await prisma.sandboxExecutionLog.findMany({
    where: {
      createdAt: {
        gte: new Date(Date.now() - 60 * 60 * 1000) // Last hour
      }
    },
    select: { success: true }
  });

  const failureRate = last100.filter(l => !l.success).length / last100.length;

  if (failureRate > 0.3) {
    // Send alert: More than 30% of validations failing
    console.error(`⚠️ HIGH FAILURE RATE: ${(failureRate * 100).toFixed(1)}%`);
  }
}

  return {
    recent, strategyStats, failures, trends,
    getUserSandboxStats, getStrategyHealthMetrics, cleanupOldSandboxLogs, checkSandboxHealthAlert,
  };
}
