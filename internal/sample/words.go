package sample

import "github.com/sandtrail/sandtrail"

var (
	firstNames = []string{
		"Ada", "Grace", "Linus", "Margaret", "Dennis", "Barbara", "Ken", "Radia", "Edsger", "Frances",
		"Tony", "Hedy", "Alan", "Katherine", "Donald", "Joan", "Niklaus", "Sophie", "Leslie", "Karen",
	}
	lastNames = []string{
		"Okafor", "Lindqvist", "Moreau", "Tanaka", "Alvarez", "Novak", "Haddad", "Keller", "Sato", "Rossi",
		"Dubois", "Costa", "Iyer", "Berg", "Petrov", "Nguyen", "Kowalski", "Silva", "Weber", "Brown",
	}
	styles = []string{
		"Mean reversion", "Momentum breakout", "Pairs spread", "Grid maker", "Trend follower", "Funding arbitrage",
		"Volatility target", "Opening range", "RSI divergence", "Order-flow scalper", "Basis carry", "Calendar roll",
	}
	markets = []string{
		"BTC/USDT", "ETH/USDT", "SOL/USDT", "EUR/USD", "GOLD", "NDX", "AVAX/USDT", "BNB/USDT", "WTI", "XRP/USDT", "SPX",
	}
	classSets = [][]string{
		{"LiveTrader"},
		{"LiveTrader", "RiskModel"},
		{"Strategy", "Signal", "Portfolio"},
		{"Backtest"},
		{},
		{"LiveTrader", "OrderBook", "SlippageModel"},
	}
)

var importError = sandtrail.Finding{
	Severity: "error", Code: "ModuleNotFoundError", Message: "No module named 'pandas_ta'",
	Line: new(4), Column: new(8), Suggestion: "Add pandas_ta to the sandbox image or vendor the indicator.",
	Traceback: "Traceback (most recent call last):\n  File \"strategy.py\", line 4, in <module>\n    import pandas_ta as ta\nModuleNotFoundError: No module named 'pandas_ta'",
}

var failures = []sandtrail.Finding{
	{
		Severity: "error", Code: "NameError", Message: "name 'close_px' is not defined",
		Traceback: "Traceback (most recent call last):\n  File \"strategy.py\", line %d, in on_candle\n    self.buy(close_px)\nNameError: name 'close_px' is not defined",
	},
	{
		Severity: "error", Code: "KeyError", Message: "'funding_rate'",
		Traceback: "Traceback (most recent call last):\n  File \"strategy.py\", line %d, in prepare\n    rate = row['funding_rate']\nKeyError: 'funding_rate'",
	},
	{Severity: "error", Code: "SyntaxError", Message: "expected ':'", Suggestion: "Add a colon at the end of the line."},
	{
		Severity: "error", Code: "ZeroDivisionError", Message: "float division by zero",
		Traceback: "Traceback (most recent call last):\n  File \"strategy.py\", line %d, in size\n    return risk / atr\nZeroDivisionError: float division by zero",
	},
	{
		Severity: "error", Code: "MissingMethod", Message: "class LiveTrader has no method on_candle",
		Suggestion: "Define on_candle(self, candle).",
	},
	{
		Severity: "error", Code: "DangerousImport", Message: "import of subprocess is not allowed in the sandbox",
		Suggestion: "Use the order API that the sandbox provides.",
	},
}

var warnings = []sandtrail.Finding{
	{Severity: "warning", Code: "UnusedImport", Message: "numpy imported but unused"},
	{Severity: "warning", Code: "LookAhead", Message: "uses the close of a candle that is still open"},
	{Severity: "warning", Code: "NoStopLoss", Message: "orders are placed without a stop-loss"},
	{Severity: "warning", Code: "Deprecated", Message: "DataFrame.append is deprecated", Suggestion: "Use pandas.concat."},
}
