# A strategy that works and deserves warnings.
formula='price * 2'
price=100
eval "echo \$(($formula))" > /tmp/careless-strategy.out
