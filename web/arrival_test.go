package web

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// slowly delivers a page in pieces, of which the first ends in the middle of
// the header and the second before the footer. The browser gets the next one
// when it is asked for.
type slowly struct {
	http.Handler
	next chan bool
}

func (s slowly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Sec-Fetch-Dest") != "document" {
		s.Handler.ServeHTTP(w, r)
		return
	}
	whole := httptest.NewRecorder()
	s.Handler.ServeHTTP(whole, r)
	for name := range whole.Header() {
		w.Header().Set(name, whole.Header().Get(name))
	}
	start, rest, _ := bytes.Cut(whole.Body.Bytes(), []byte("<datalist"))
	middle, end, _ := bytes.Cut(rest, []byte("</main>"))
	for i, piece := range []string{string(start), "<datalist" + string(middle), "</main>" + string(end)} {
		if i > 0 {
			<-s.next
		}
		_, _ = io.WriteString(w, piece)
		_ = http.NewResponseController(w).Flush()
	}
}

// painted gives the browser time for some frames and tells whether it has
// drawn one.
const painted = `new Promise((answer) => {
	const tell = () => answer(performance.getEntriesByType("paint").length > 0);
	setTimeout(tell, 300);
	requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(tell)));
})`

// TestAPageIsDrawnOnce wants nothing to be seen of a page before all of it is
// there: what is drawn from a part moves when the rest comes.
func TestAPageIsDrawnOnce(t *testing.T) {
	slow := slowly{Handler(options(t)), make(chan bool)}
	b := browse(t, slow)
	b.look(screens[2])
	run[any](b, "location.assign('"+b.url+"/executions'); null")
	for _, piece := range []string{"#tz", "[data-pill]"} {
		b.wait(`document.querySelector("` + piece + `") !== null`)
		if awaited[bool](b, painted) {
			t.Errorf("the page is drawn when it has come as far as %s", piece)
		}
		slow.next <- true
	}
	b.wait(`performance.getEntriesByType("paint").length > 0`)
	if shifts := awaited[[]string](b, shifts); len(shifts) > 0 {
		t.Errorf("the page moved while it arrived:\n%s", strings.Join(shifts, "\n"))
	}
}
