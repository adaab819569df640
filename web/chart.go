package web

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandtrail/sandtrail"
	"github.com/sandtrail/sandtrail/internal/human"
)

// chart is a trend as three drawings over one time axis: executions as
// stacked bars, time and memory as lines. Places and lengths are percentages
// of the drawing, so that it fits any width.
type chart struct {
	Slots     []slot
	Ticks     []tick
	Runs      axis
	Time      axis
	Memory    axis
	AvgTime   string // path data, in the coordinates of ViewBox
	P95Time   string
	AvgMemory string
	ViewBox   string
	Caption   string
	Bucket    sandtrail.Bucket
	Total     int64
	Peak      int64
}

// slot is one bucket.
type slot struct {
	sandtrail.TrendBucket
	Label               string // in words
	X, Width            string // of the bar
	SlotX, SlotWidth    string // of the area that answers the pointer
	OK, Failed, Timeout segment
	Href                string // its executions
}

// segment is a part of a stacked bar; an empty one has no height.
type segment struct{ Y, Height string }

type tick struct {
	X, Label, Anchor string
	Spare            bool // left out where there is little room
}

// axis names the top and, of counts, the middle of a scale that begins at 0.
type axis struct {
	top         float64
	Top, Middle string
}

// newChart draws buckets that come newest first, as stores answer. link is
// the list of executions that the bars lead to, without its times.
func newChart(q sandtrail.TrendQuery, buckets []sandtrail.TrendBucket, link url.Values) (chart, error) {
	edges, err := q.Edges()
	if err != nil {
		return chart{}, err
	}
	buckets = slices.Clone(buckets)
	slices.Reverse(buckets)
	if len(buckets) != len(edges)-1 {
		return chart{}, fmt.Errorf("trend has %d buckets between %d edges", len(buckets), len(edges))
	}
	c := chart{Bucket: q.Bucket, ViewBox: fmt.Sprintf("0 0 %d 100", 10*len(buckets))}
	c.scale(buckets)
	for i, b := range buckets {
		c.Slots = append(c.Slots, c.slot(i, len(buckets), b, edges, q, link))
		c.Total += b.Total
		c.Peak = max(c.Peak, b.Total)
	}
	c.Ticks = ticks(edges, q)
	c.AvgTime = line(buckets, c.Time.top, func(b sandtrail.TrendBucket) *float64 { return b.AvgTime })
	c.P95Time = line(buckets, c.Time.top, func(b sandtrail.TrendBucket) *float64 { return b.P95Time })
	c.AvgMemory = line(buckets, c.Memory.top, func(b sandtrail.TrendBucket) *float64 { return b.AvgMemory })
	c.Caption = fmt.Sprintf("%s executions by the %s", human.Count(c.Total), q.Bucket)
	return c, nil
}

func (c *chart) scale(buckets []sandtrail.TrendBucket) {
	var runs, millis, memory float64
	for _, b := range buckets {
		runs = max(runs, float64(b.Total))
		memory = max(memory, orZero(b.AvgMemory))
		millis = max(millis, orZero(b.AvgTime), orZero(b.P95Time))
	}
	c.Runs = axis{top: niceTop(max(runs, 2), 1, 2, 4, 6, 8)}
	c.Runs.Top, c.Runs.Middle = human.Count(int64(c.Runs.top)), human.Count(int64(c.Runs.top/2))
	c.Time = axis{top: niceTop(millis, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)}
	c.Time.Top = formatMillis(&c.Time.top)
	c.Memory = axis{top: niceTop(memory, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)}
	c.Memory.Top = formatMemory(&c.Memory.top)
}

func orZero(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}

// niceTop is the end of a scale: the smallest of the steps, times a power of
// ten, that is at least most.
func niceTop(most float64, steps ...float64) float64 {
	if most < 1 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(most)))
	for _, step := range steps {
		if step*unit >= most {
			return step * unit
		}
	}
	return 10 * unit
}

func (c *chart) slot(i, n int, b sandtrail.TrendBucket, edges []time.Time, q sandtrail.TrendQuery, link url.Values) slot {
	width := 100 / float64(n)
	gap := min(0.25*width, 0.5)
	s := slot{
		TrendBucket: b, Label: bucketLabel(edges[i], q),
		X: share(float64(i)*width + gap/2), Width: share(width - gap),
		SlotX: share(float64(i) * width), SlotWidth: share(width),
	}
	y := 100.0
	for _, part := range []struct {
		n    int64
		into *segment
	}{{b.TimedOut, &s.Timeout}, {b.Failed - b.TimedOut, &s.Failed}, {b.Successful, &s.OK}} {
		if part.n <= 0 {
			continue
		}
		height := 100 * float64(part.n) / c.Runs.top
		y -= height
		*part.into = segment{Y: share(y), Height: share(height)}
	}
	list := url.Values{"since": {edges[i].Format(time.RFC3339Nano)}, "until": {edges[i+1].Format(time.RFC3339Nano)}}
	for name, values := range link {
		list[name] = values
	}
	s.Href = address("/executions", list)
	return s
}

func share(percent float64) string {
	return strconv.FormatFloat(percent, 'f', 2, 64) + "%"
}

func bucketLabel(start time.Time, q sandtrail.TrendQuery) string {
	local := start.In(location(q))
	if q.Bucket == sandtrail.Hour {
		full := local.Add(-time.Duration(local.Minute())*time.Minute - time.Duration(local.Second())*time.Second)
		return full.Format("Mon 2 Jan, 15:04")
	}
	return local.Format("Mon 2 Jan 2006")
}

func location(q sandtrail.TrendQuery) *time.Location {
	if q.Location == nil {
		return time.UTC
	}
	return q.Location
}

// line is an SVG path through the middles of the buckets that have a value,
// with a gap where there is none. A value between gaps is a dash.
func line(buckets []sandtrail.TrendBucket, top float64, value func(sandtrail.TrendBucket) *float64) string {
	var b strings.Builder
	drawing := false
	for i, bucket := range buckets {
		v := value(bucket)
		if v == nil {
			drawing = false
			continue
		}
		x, y := 10*i+5, 100-100**v/top
		switch {
		case drawing:
			fmt.Fprintf(&b, "L%d %.1f", x, y)
		case i+1 < len(buckets) && value(buckets[i+1]) != nil:
			fmt.Fprintf(&b, "M%d %.1f", x, y)
		default:
			fmt.Fprintf(&b, "M%d %.1fh6", x-3, y)
		}
		drawing = true
	}
	return b.String()
}

// ticks names at most seven of the edges: days at midnight, hours at full
// hours.
func ticks(edges []time.Time, q sandtrail.TrendQuery) []tick {
	const most = 7
	n := len(edges) - 1
	every := (n + most - 1) / most
	if q.Bucket == sandtrail.Hour {
		for _, hours := range []int{1, 2, 3, 4, 6, 12, 24, 48, 96, 240} {
			if hours >= every {
				every = hours
				break
			}
		}
	}
	var out []tick
	for i := range n {
		local := edges[i].In(location(q))
		named := i%every == 0
		if q.Bucket == sandtrail.Hour {
			named = local.Minute() == 0 && (local.Hour()+24*local.YearDay())%every == 0
		}
		if !named {
			continue
		}
		x := 100 * float64(i) / float64(n)
		t := tick{X: share(x), Label: tickLabel(local, every, q), Anchor: "middle", Spare: len(out)%2 == 1}
		if x < 3 {
			t.Anchor = "start"
		} else if x > 97 {
			t.Anchor = "end"
		}
		out = append(out, t)
	}
	return out
}

func tickLabel(local time.Time, every int, q sandtrail.TrendQuery) string {
	if q.Bucket == sandtrail.Hour && every < 24 && local.Hour() != 0 {
		return local.Format("15:04")
	}
	return local.Format("2 Jan")
}

// sparkline is a small line of one value per bucket, oldest first.
func sparkline(buckets []sandtrail.TrendBucket, value func(sandtrail.TrendBucket) *float64) spark {
	buckets = slices.Clone(buckets)
	slices.Reverse(buckets)
	top := 0.0
	for _, b := range buckets {
		top = max(top, orZero(value(b)))
	}
	if top == 0 {
		top = 1
	}
	return spark{ViewBox: fmt.Sprintf("0 -8 %d 116", 10*len(buckets)), Path: line(buckets, top, value)}
}

type spark struct{ ViewBox, Path string }

// strip shows executions one by one, the oldest on the left.
type strip struct {
	Cells []cell
}

type cell struct {
	X, Width, Y, Height string
	Outcome             outcome
	Title, Href         string
}

// newStrip draws executions that come newest first. Failures are taller than
// successes, so that they can be told apart without colours.
func newStrip(f *frame, newest []sandtrail.Execution) strip {
	var s strip
	width := 100 / float64(max(len(newest), 30))
	left := 100 - width*float64(len(newest))
	for i, e := range newest {
		o := outcomeOf(e)
		height := map[outcome]float64{succeeded: 50, timedOut: 78, failed: 100}[o]
		at := f.Stamp(e.CreatedAt)
		s.Cells = append(s.Cells, cell{
			X: share(left + width*float64(len(newest)-1-i)), Width: share(width * 0.75),
			Y: share(100 - height), Height: share(height), Outcome: o,
			Title: o.Label + ", " + formatMillis(float(&e.ExecutionTime)) + ", " + at.Exact, Href: "/executions/" + e.ID.String(),
		})
	}
	slices.Reverse(s.Cells)
	return s
}

// findingsStrip shows how many errors, and on top of them warnings, each of the
// executions in newStrip had, and the most that one had.
func findingsStrip(newest []sandtrail.Execution) (s strip, most int) {
	for _, e := range newest {
		most = max(most, e.ErrorCount+e.WarningCount)
	}
	width := 100 / float64(max(len(newest), 30))
	for i, e := range newest {
		y := 100.0
		for _, part := range []struct {
			n    int
			kind outcome
		}{{e.ErrorCount, failed}, {e.WarningCount, timedOut}} {
			if part.n == 0 {
				continue
			}
			height := 100 * float64(part.n) / float64(most)
			y -= height
			s.Cells = append(s.Cells, cell{
				X: share(100 - width*float64(i+1)), Width: share(width * 0.75), Y: share(y), Height: share(height), Outcome: part.kind,
				Title: plural(e.ErrorCount, "error") + ", " + plural(e.WarningCount, "warning"), Href: "/executions/" + e.ID.String(),
			})
		}
	}
	return s, most
}

// histogram shows how values spread, on a logarithmic scale.
type histogram struct {
	Bars             []histogramBar
	Least, Most      string
	Median           string
	MedianX          string
	Measured, Missed int // how many executions had a value, how many none
}

type histogramBar struct {
	X, Width, Y, Height, Title string
}

func newHistogram(values []float64, missed int, show func(*float64) string) histogram {
	h := histogram{Measured: len(values), Missed: missed}
	if len(values) == 0 {
		return h
	}
	slices.Sort(values)
	least, most := max(values[0], 1), max(values[len(values)-1], 2)
	if most < 2*least {
		least, most = least/2, most*2
	}
	const bins = 28
	place := func(v float64) float64 {
		return (math.Log(max(v, 1)) - math.Log(least)) / (math.Log(most) - math.Log(least))
	}
	edge := func(i int) float64 { return least * math.Pow(most/least, float64(i)/bins) }
	var counts [bins]int
	highest := 0
	for _, v := range values {
		i := min(max(int(place(v)*bins), 0), bins-1)
		counts[i]++
		highest = max(highest, counts[i])
	}
	for i, n := range counts {
		height := 100 * float64(n) / float64(highest)
		h.Bars = append(h.Bars, histogramBar{
			X: share(100 * float64(i) / bins), Width: share(85.0 / bins), Y: share(100 - height), Height: share(height),
			Title: fmt.Sprintf("%s to %s: %s", show(new(edge(i))), show(new(edge(i+1))), plural(n, "execution")),
		})
	}
	median := values[(len(values)-1)/2]
	h.Least, h.Most, h.Median, h.MedianX = show(&least), show(&most), show(&median), share(100*place(median))
	return h
}
