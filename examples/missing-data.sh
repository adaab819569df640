# A strategy that fails while it runs: its prices are not there.
set -e
echo 'reading prices'
sort -n prices-of-2031.csv > sorted.csv
tail -n 1 sorted.csv
