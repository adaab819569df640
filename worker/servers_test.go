package worker

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandtrail/sandtrail/alert"
	"github.com/sandtrail/sandtrail/internal/pgtest"
	"github.com/sandtrail/sandtrail/notify"
	"github.com/sandtrail/sandtrail/postgres"
)

// Four servers on one PostgreSQL evaluate the same rule at the same moments: a
// webhook is told of each change once.
func TestManyServersTellOnce(t *testing.T) {
	const servers, minutes = 4, 20
	url := pgtest.New(t)
	stores := make([]*postgres.Store, servers)
	for i := range stores {
		var err error
		if stores[i], err = postgres.Open(t.Context(), url, postgres.Options{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stores[i].Close() })
	}
	prepare(t, stores[0])
	var mu sync.Mutex
	var told []string
	listening := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct{ Status string }
		err := json.NewDecoder(r.Body).Decode(&message)
		mu.Lock()
		defer mu.Unlock()
		if told = append(told, message.Status); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(listening.Close)
	rule := alert.Rule{Name: "idle", Metric: alert.NoExecutions, Window: time.Minute}
	var want []string
	for minute := range minutes {
		now := noon.Add(time.Duration(minute) * time.Minute)
		if minute%2 == 0 {
			want = append(want, "firing")
		} else {
			want = append(want, "resolved")
			put(t, stores[0], now.Add(-time.Second), true)
		}
		var running sync.WaitGroup
		for _, store := range stores {
			running.Go(func() {
				for _, job := range Alerts(store, []alert.Rule{rule}, notify.Webhook{URL: listening.URL}) {
					if err := job.RunOnce(t.Context(), now); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
