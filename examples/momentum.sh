# A sound strategy: buys while the price has risen three times in a row.
prices='100 101 103 102 104 107 111 110 112 113 115 114'
last=0 rises=0 signals=0
for price in $prices; do
	if [ "$price" -gt "$last" ]; then
		rises=$((rises + 1))
	else
		rises=0
	fi
	if [ "$rises" -ge 3 ]; then
		echo "buy at $price"
		signals=$((signals + 1))
	fi
	last=$price
done
printf '{"success":true,"errors":[],"warnings":[],"info":["%s signals"],"execution_time_ms":0}\n' "$signals"
