# A strategy that waits for a price that never comes.
price=100
while [ "$price" -lt 200 ]; do
	price=$((100 + (price + 1) % 50))
done
