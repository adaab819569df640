"""A sound strategy: buys when the short average crosses the long one."""


class MovingAverage:
    def __init__(self, length):
        self.length = length

    def signal(self, prices):
        window = prices[-self.length:]
        return sum(window) / len(window)


class Crossover:
    def __init__(self, short=3, long=6):
        self.short, self.long = MovingAverage(short), MovingAverage(long)

    def signal(self, prices):
        return "buy" if self.short.signal(prices) > self.long.signal(prices) else "wait"


if __name__ == "__main__":
    prices = [100, 101, 103, 102, 104, 107, 111, 110, 112, 113, 115, 114]
    print(Crossover().signal(prices))
