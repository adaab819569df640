package recorder

import "time"

// waitUntil asks again and again, at growing intervals up to 20 ms, until the
// condition holds or the time is up, and returns whether it holds. It is for
// what the kernel does not notify of.
func waitUntil(limit time.Duration, condition func() bool) bool {
	deadline := time.Now().Add(limit)
	for pause := 250 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if condition() {
			return true
		}
		if !time.Now().Add(pause).Before(deadline) {
			return condition()
		}
		<-time.After(pause)
	}
}
