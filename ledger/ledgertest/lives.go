package ledgertest

import (
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// The environment of a campaign.
const (
	roundsEnv = "SANDTRAIL_LEDGER_ROUNDS" // how often it does everything
	seedEnv   = "SANDTRAIL_LEDGER_SEED"   // of its first round; else one is drawn
)

// Rounds is how often a campaign does everything: few times, or as often as
// the environment says.
func Rounds(t testing.TB, few int) int {
	if os.Getenv(roundsEnv) == "" {
		return few
	}
	return int(fromEnv(t, roundsEnv))
}

// roundsPerLife is how many rounds are done with one target.
const roundsPerLife = 5

// campaign does a round n times, on several targets, each with a seed of its
// own. The name of the test that fails is the environment that repeats it.
func campaign(t *testing.T, open Opener, n int, begin, round func(*operator)) {
	seed := mathrand.Uint64N(1 << 32)
	if os.Getenv(seedEnv) != "" {
		seed = fromEnv(t, seedEnv)
	}
	for ; n > 0 && !t.Failed(); n -= roundsPerLife {
		rounds := min(n, roundsPerLife)
		t.Run(fmt.Sprintf("%s=%d %s=%d", seedEnv, seed, roundsEnv, rounds), func(t *testing.T) {
			o := newOperator(t, open(t), seed)
			begin(o)
			for range rounds {
				round(o)
			}
		})
		seed++
	}
}

func fromEnv(t testing.TB, name string) uint64 {
	n, err := strconv.ParseUint(os.Getenv(name), 10, 64)
	if err != nil {
		t.Fatalf("%s: want a whole number: %v", name, err)
	}
	return n
}
