"""A strategy that fails while it runs: a day without trades."""


class Turnover:
    def signal(self, volumes):
        return sum(volumes) / len(volumes)


print(Turnover().signal([]))
