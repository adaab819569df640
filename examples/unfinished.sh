# A strategy with a syntax error: the loop is never closed.
for price in 100 101 103; do
	if [ "$price" -gt 100 ]; then
		echo "buy at $price"
	fi
echo done trading
