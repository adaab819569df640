"""A strategy with a syntax error."""


class Reversal:
    def signal(self, prices)
        return "sell" if prices[-1] > prices[0] else "buy"
