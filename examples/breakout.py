"""A strategy that works and deserves a warning: Journal cannot be asked."""


class Breakout:
    def signal(self, prices):
        return "buy" if prices[-1] == max(prices) else "wait"


class Journal:
    def note(self, text):
        print(text)
