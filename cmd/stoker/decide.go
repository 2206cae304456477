package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	kjson "sigs.k8s.io/json"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale"
)

// maxQuestion bounds the file of an observation: thousands of replicas.
const maxQuestion = 16 << 20

// decideFlags are what a decision is asked with.
type decideFlags struct {
	file, manifest, state, at, replay string
}

func (a *app) decideCommand() *cobra.Command {
	var in decideFlags
	var out format
	c := &cobra.Command{
		Use:   "decide {-f OBSERVATION | --replay DECISIONS}",
		Short: "Say what would be decided about an observation and why, and do nothing",
		Long: `Decide as the platform does, on what is in files, and print the decision and its reasons. Nothing is
asked of a platform, and nothing is started or stopped.

OBSERVATION is JSON: what stoker explain NAME -o json prints, which holds the whole question under
"asked"; or that part alone, with spec, state, observation and now; or an observation by itself:

  {"pending": {"standard": 9}, "inFlight": 0, "freeGPUs": 8,
   "replicas": [{"id": "r1", "revision": "a", "phase": "ready", "since": "2026-11-27T09:00:00Z", "inFlight": 1}]}

then with --manifest, whose function it is about. Without --state the function was never decided
about before. Durations are in nanoseconds. The state in the answer (-o json) is the next --state.

DECISIONS is what stoker up --decisions FILE keeps. Each is decided anew from what it was made of;
those that come out differently are shown, and then the command fails.`,
		Example: "  stoker explain tinylm -o json > now.json\n  stoker decide -f now.json\n  stoker decide -f observation.json --manifest tinylm.yaml -o json\n  stoker decide --replay decisions.jsonl",
		Args:    exactly(0, "none beside -f OBSERVATION or --replay DECISIONS"),
		RunE: func(*cobra.Command, []string) error {
			if in.replay != "" {
				return a.replay(in, out)
			}
			q, err := a.question(in)
			if err != nil {
				return err
			}
			answer := q.Answer()
			return out.print(a.out, answer, func(w io.Writer) error { return sayAnswer(w, answer) })
		},
	}
	c.Flags().StringVarP(&in.file, "filename", "f", "", "JSON of the observation, or of the whole question; - is standard input")
	c.Flags().StringVar(&in.manifest, "manifest", "", "manifest of the function, instead of the question's own spec")
	c.Flags().StringVar(&in.state, "state", "", "JSON of the scaling state, instead of the question's own")
	c.Flags().StringVar(&in.at, "at", "", "when it is decided, such as 2026-11-27T09:00:00Z (default: the question's own time, or now)")
	c.Flags().StringVar(&in.replay, "replay", "", "file of decisions to make again; - is standard input")
	c.MarkFlagsMutuallyExclusive("replay", "filename")
	out.bind(c)
	return c
}

// question puts together what is asked.
func (a *app) question(in decideFlags) (scale.Question, error) {
	if in.file == "" {
		return scale.Question{}, usageError{errors.New("about which observation? give -f FILE or -f -")}
	}
	data, err := a.readOne(in.file)
	if err != nil {
		return scale.Question{}, err
	}
	q, hasSpec, err := parseQuestion(in.file, data)
	if err != nil {
		return q, err
	}
	if in.manifest != "" {
		if q.Spec, err = a.specOf(in.manifest); err != nil {
			return q, err
		}
	} else if !hasSpec {
		return q, usageError{fmt.Errorf("%s has no spec, so nobody knows whose observation it is: give --manifest FILE", in.file)}
	}
	if in.state != "" {
		if q.State, err = a.stateOf(in.state); err != nil {
			return q, err
		}
	}
	if in.at != "" {
		if q.Now, err = time.Parse(time.RFC3339, in.at); err != nil {
			return q, usageError{fmt.Errorf("--at %q: allowed: a time such as 2026-11-27T09:00:00Z", in.at)}
		}
	}
	if q.Now.IsZero() {
		q.Now = a.now()
	}
	return q, named(in.file, errors.Join(q.Check()...))
}

// parseQuestion reads an explanation, a question or an observation, whichever it is, and tells
// whether it has a spec.
func parseQuestion(file string, data []byte) (q scale.Question, hasSpec bool, err error) {
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return q, false, named(file, fmt.Errorf("not a JSON object: %w", err))
	}
	if asked, whole := parts["asked"]; whole {
		return parseQuestion(file, asked)
	}
	if _, whole := parts["observation"]; whole {
		_, hasSpec = parts["spec"]
		return q, hasSpec, named(file, strictly(data, &q))
	}
	return q, false, named(file, strictly(data, &q.Observation))
}

// strictly reads JSON and refuses fields that do not exist or come twice; the library names their
// paths.
func strictly(data []byte, v any) error {
	wrong, err := kjson.UnmarshalStrict(data, v)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("%s: %s: allowed: %s", kind.Field, kind.Value, kind.Type)
	}
	return errors.Join(append([]error{err}, wrong...)...)
}

func named(file string, err error) error {
	if err == nil {
		return nil
	}
	var lines []string
	for _, l := range strings.Split(err.Error(), "\n") {
		lines = append(lines, file+": "+l)
	}
	return errors.New(strings.Join(lines, "\n"))
}

// specOf reads the one function of a manifest.
func (a *app) specOf(file string) (scale.Spec, error) {
	data, err := a.readOne(file)
	if err != nil {
		return scale.Spec{}, err
	}
	fns, err := functions.Parse(file, data)
	if err != nil {
		return scale.Spec{}, err
	}
	if len(fns) != 1 {
		return scale.Spec{}, fmt.Errorf("%s: %d functions: allowed: one, the one that is observed", file, len(fns))
	}
	return scale.SpecOf(fns[0], functions.Revision(fns[0].Spec)), nil
}

func (a *app) stateOf(file string) (scale.State, error) {
	data, err := a.readOne(file)
	if err != nil {
		return scale.State{}, err
	}
	var s scale.State
	if err := strictly(data, &s); err != nil {
		return s, named(file, err)
	}
	s, err = scale.DecodeState(data)
	return s, named(file, err)
}

// open opens a file, or standard input, which stays open.
func (a *app) open(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(a.in), nil
	}
	return os.Open(file)
}

// readOne reads one file, or standard input.
func (a *app) readOne(file string) ([]byte, error) {
	r, err := a.open(file)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxQuestion+1))
	if err == nil && len(data) > maxQuestion {
		err = fmt.Errorf("%s: larger than %d bytes; allowed: one observation", file, maxQuestion)
	}
	return data, err
}

func sayAnswer(w io.Writer, x scale.Answer) error {
	d := x.Decision
	fmt.Fprintf(w, "%s: target %d of revision %s, %s", d.Phase, d.Target, dash(d.Revision), d.Reason)
	if d.Limit != "" {
		fmt.Fprintf(w, "; wanted %d, held back: %s", d.Wanted, d.Limit)
	}
	fmt.Fprintln(w)
	if len(d.Victims) > 0 {
		fmt.Fprintf(w, "to drain: %s\n", strings.Join(d.Victims, ", "))
	}
	if !d.Next.IsZero() {
		fmt.Fprintf(w, "to decide again by %s\n", d.Next.Format(time.RFC3339))
	}
	for _, l := range x.Lines {
		fmt.Fprintf(w, "%s: %s\n", l.Topic, l.Text)
	}
	return nil
}
