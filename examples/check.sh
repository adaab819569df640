# Checks a shell strategy without running it and reports as JSON.
# usage: sh check.sh FILE
escape() { sed 's/\\/\\\\/g; s/"/\\"/g' | tr -d '\n'; }

errors='' warnings=''
if ! problem=$(sh -n "$1" 2>&1); then
	line=$(printf '%s\n' "$problem" | sed -n 's/^[^:]*: *\(line \)*\([0-9][0-9]*\): .*/\2/p' | head -n 1)
	message=$(printf '%s' "${problem##*: }" | escape)
	errors="{\"class_name\":\"\",\"method_name\":\"\",\"error_type\":\"SyntaxError\",\"message\":\"$message\",\"line\":${line:-null}}"
fi
if grep -q '^[^#]*eval ' "$1"; then
	warnings='"eval runs whatever its input holds"'
fi
if grep -q '^[^#]*/tmp/' "$1"; then
	warnings="$warnings${warnings:+,}\"a fixed name in /tmp can be taken by somebody else: use mktemp\""
fi
valid=true
[ -z "$errors" ] || valid=false
echo "checked $1"
printf '{"is_valid":%s,"errors":[%s],"warnings":[%s]}\n' "$valid" "$errors" "$warnings"
[ "$valid" = true ]
