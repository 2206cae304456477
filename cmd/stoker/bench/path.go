package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"stoker.dev/stoker/cmd/stoker/config"
)

// PathSlots is how many requests the one replica takes at a time.
const PathSlots = 64

// pathPayload is the size of a request, and of its answer: the backend sends it back.
const pathPayload = 1 << 10

// warmup is how long each way is used before the first round: connections, caches and the
// broker's files are as in a platform that has run for a while.
const warmup = time.Second

// Names of the ways that figures are derived of.
const (
	wayDirect = "direct"
	wayRaw    = "raw"
	wayStoker = "stoker"
)

// PathOptions of one measurement.
type PathOptions struct {
	Callers  int
	Rounds   int
	Each     time.Duration // of one way in one round
	Self     string        // the stoker program, which plays the other processes
	Config   config.Config
	Progress io.Writer
}

// PathReport is what `stoker bench path --json` prints. Rates are medians over the rounds, and
// times those of all requests of all rounds.
type PathReport struct {
	Callers       int             `json:"callers"`
	Slots         int             `json:"slots"`
	Rounds        int             `json:"rounds"`
	PayloadBytes  int             `json:"payload_bytes"`
	DirectRPS     float64         `json:"direct_rps"`
	RawRPS        float64         `json:"raw_rps"`
	FloorRPS      float64         `json:"floor_rps"` // 1/(1/raw + 1/direct)
	StokerRPS     float64         `json:"stoker_rps"`
	RatioToFloor  float64         `json:"ratio_to_floor"`
	RatioToDirect float64         `json:"ratio_to_direct"`
	Added         Added           `json:"added_ms"` // stoker's percentile less that of direct
	Ways          map[string]Way  `json:"ways"`
	Streaming     StreamingReport `json:"streaming"`
	LoadAverage   string          `json:"load_average"`
}

// Added is what a way takes longer than another, in milliseconds.
type Added struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Way is what was measured of one way to the backend.
type Way struct {
	RPS       float64   `json:"rps"`
	RoundsRPS []float64 `json:"rounds_rps"`
	Times     Quantiles `json:"ms"`
	Samples   int       `json:"samples"`
	// CPU is what one request took of the processes' CPU time, in microseconds.
	CPU map[string]float64 `json:"cpu_us"`
}

// Path measures what a request costs that finds a warm replica, beside the parts it stands on.
func Path(ctx context.Context, o PathOptions) (rep PathReport, err error) {
	w, err := openPathWorld(ctx, o)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, w.close(context.WithoutCancel(ctx))) }()
	measured, err := w.rounds(ctx)
	if err != nil {
		return rep, err
	}
	rep = reportPath(o, measured)
	fmt.Fprintln(o.Progress, "streaming")
	rep.Streaming, err = w.streaming(ctx)
	rep.LoadAverage = loadAverage()
	return rep, err
}

// rounds uses every way in turn. Each round begins with another one, so that whatever the
// machine does meanwhile meets all of them.
func (w *pathWorld) rounds(ctx context.Context) (map[string]*samples, error) {
	out := map[string]*samples{}
	for _, way := range w.ways {
		out[way.name] = &samples{cpu: cpuTimes{}}
		if _, err := w.load(ctx, way, min(warmup, w.o.Each)); err != nil {
			return nil, err
		}
	}
	for round := range w.o.Rounds {
		for i := range w.ways {
			way := w.ways[(round+i)%len(w.ways)]
			s, err := w.load(ctx, way, w.o.Each)
			if err != nil {
				return nil, err
			}
			out[way.name].add(s)
		}
		fmt.Fprintf(w.o.Progress, "round %d of %d:%s\n", round+1, w.o.Rounds, w.lastRates(out))
	}
	return out, nil
}

func (w *pathWorld) lastRates(all map[string]*samples) (line string) {
	for _, way := range w.ways {
		rates := all[way.name].rates
		line += fmt.Sprintf(" %s %.0f/s", way.name, rates[len(rates)-1])
	}
	return line
}

func reportPath(o PathOptions, measured map[string]*samples) PathReport {
	ways := map[string]Way{}
	for name, s := range measured {
		ways[name] = Way{RPS: median(s.rates), RoundsRPS: s.rates, Times: quantiles(s.times), Samples: len(s.times), CPU: s.cpu.perRequest(len(s.times))}
	}
	direct, raw, stoker := ways[wayDirect], ways[wayRaw], ways[wayStoker]
	floor := 1 / (1/raw.RPS + 1/direct.RPS)
	return PathReport{
		Callers: o.Callers, Slots: PathSlots, Rounds: o.Rounds, PayloadBytes: pathPayload,
		DirectRPS: direct.RPS, RawRPS: raw.RPS, FloorRPS: floor, StokerRPS: stoker.RPS,
		RatioToFloor: stoker.RPS / floor, RatioToDirect: stoker.RPS / direct.RPS,
		Added: Added{P50: stoker.Times.P50 - direct.Times.P50, P99: stoker.Times.P99 - direct.Times.P99},
		Ways:  ways,
	}
}

// median is the middle one, or the lower of the middle two: a rate that was measured.
func median(rates []float64) float64 {
	if len(rates) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(rates))
	return s[(len(s)-1)/2]
}
