# A strategy that keeps every price it has ever seen, twice.
history=' 100'
i=0
while [ "$i" -lt 24 ]; do # up to 64 MiB, and more while it is copied
	history=$history$history
	i=$((i + 1))
done
echo "${#history} bytes of history"
