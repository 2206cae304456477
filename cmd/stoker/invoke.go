package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/terminal"
	"stoker.dev/stoker/functions"
)

type invokeOptions struct {
	data, path, class, id, contentType string
	timeout                            time.Duration
	stream, async                      bool
}

func (a *app) invokeCommand() *cobra.Command {
	var o invokeOptions
	c := &cobra.Command{
		Use:   "invoke NAME [--data JSON|@FILE|-]",
		Short: "Send a request and print the answer, as it comes with --stream",
		Example: `  stoker invoke tinylm --data '{"prompt":"The stoker ","max_tokens":40}'
  stoker invoke tinylm --stream --data '{"prompt":"The stoker ","stream":true}'
  stoker invoke tinylm --async --data @request.json`,
		Args:              exactly(1, "the NAME of one function"),
		RunE:              func(c *cobra.Command, args []string) error { return a.invoke(c, args[0], o) },
		ValidArgsFunction: a.completeFunctions,
	}
	f := c.Flags()
	f.StringVarP(&o.data, "data", "d", "{}", "the request's payload, @FILE, or - for standard input")
	f.StringVar(&o.path, "path", "", "path on the model server, such as /v1/chat/completions")
	f.StringVar(&o.class, "class", "", "interactive (default), standard or batch")
	f.StringVar(&o.id, "id", "", "event id, for a request that may be sent twice")
	f.StringVar(&o.contentType, "content-type", "application/json", "content type of the payload")
	f.DurationVar(&o.timeout, "timeout", 0, "deadline of the request (default: the function's)")
	f.BoolVar(&o.stream, "stream", false, "print the answer piece by piece")
	f.BoolVar(&o.async, "async", false, "do not wait: print the id that `stoker result` reads")
	return c
}

func (a *app) invoke(c *cobra.Command, name string, o invokeOptions) error {
	k, cl, err := a.target(name)
	if err != nil {
		return err
	}
	body, err := a.payload(o.data)
	if err != nil {
		return err
	}
	if class := functions.Class(o.class); o.class != "" && !slices.Contains(functions.Classes(), class) {
		return usageError{fmt.Errorf("--class %q: allowed: interactive, standard, batch", o.class)}
	}
	if o.path != "" && !strings.HasPrefix(o.path, "/") {
		o.path = "/" + o.path
	}
	answer, err := cl.Invoke(c.Context(), api.Call{
		Key: k, Path: o.path, Body: body, ContentType: o.contentType, Class: functions.Class(o.class),
		Timeout: o.timeout, ID: o.id, Stream: o.stream, Async: o.async,
	}, (&sse{w: terminal.Text(a.out)}).write)
	if remote := (*api.Error)(nil); errors.As(err, &remote) && remote.Code != 404 && remote.Cause != "not-running" {
		return noResult{err}
	}
	if err != nil {
		return err
	}
	if o.async {
		_, err = fmt.Fprintln(a.out, answer.ID)
		return err
	}
	if len(answer.Body) > 0 && !bytes.HasSuffix(answer.Body, []byte("\n")) {
		answer.Body = append(answer.Body, '\n')
	}
	_, err = terminal.Text(a.out).Write(answer.Body)
	return err
}

// payload reads the value of --data.
func (a *app) payload(data string) ([]byte, error) {
	switch {
	case data == "-":
		return io.ReadAll(a.in)
	case strings.HasPrefix(data, "@"):
		return os.ReadFile(data[1:])
	}
	return []byte(data), nil
}

// sse prints a stream of server-sent events for people: the text of OpenAI chunks as it comes,
// any other data line as it is, and what went wrong as an error.
type sse struct {
	w     io.Writer
	event string
}

func (s *sse) write(line []byte) error {
	text := strings.TrimRight(string(line), "\r\n")
	switch {
	case strings.HasPrefix(text, "event:"):
		s.event = strings.TrimSpace(text[len("event:"):])
	case text == "":
		s.event = ""
	case strings.HasPrefix(text, "data:"):
		return s.data(strings.TrimSpace(text[len("data:"):]))
	}
	return nil
}

func (s *sse) data(data string) error {
	switch {
	case data == "[DONE]":
		_, err := fmt.Fprintln(s.w)
		return err
	case s.event == "restart":
		_, err := fmt.Fprintln(s.w, "\n[the replica was lost; the answer starts again]")
		return err
	case s.event == "error":
		return noResult{streamError(data)}
	}
	_, err := io.WriteString(s.w, api.ChunkText([]byte("data: "+data)))
	return err
}

// streamError reads the error a stream ended with.
func streamError(data string) error {
	var wrapped struct{ Error *api.Error }
	if json.Unmarshal([]byte(data), &wrapped) == nil && wrapped.Error != nil {
		return wrapped.Error
	}
	return errors.New(data)
}

func (a *app) resultCommand() *cobra.Command {
	var wait time.Duration
	var verbose bool
	c := &cobra.Command{
		Use:     "result NAME ID",
		Short:   "Read how a request ended, and its answer where the record holds it",
		Example: "  stoker result tinylm 0190c1f2 --wait 30s",
		Args:    exactly(2, "the NAME of a function and the ID of a request"),
		RunE: func(c *cobra.Command, args []string) error {
			k, cl, err := a.target(args[0])
			if err != nil {
				return err
			}
			h, body, err := cl.Result(c.Context(), k, args[1], wait)
			if err != nil {
				return err
			}
			if verbose || len(body) == 0 {
				for _, name := range []string{"Stoker-Id", "Stoker-Status", "Stoker-Cause", "Stoker-Attempt", "Stoker-Replica", "Stoker-Ended"} {
					if v := h.Get(name); v != "" {
						fmt.Fprintf(a.err, "%s: %s\n", strings.ToLower(strings.TrimPrefix(name, "Stoker-")), terminal.Line(v))
					}
				}
			}
			if len(body) > 0 {
				_, err = fmt.Fprintf(terminal.Text(a.out), "%s\n", bytes.TrimRight(body, "\n"))
			}
			if status := h.Get("Stoker-Status"); err == nil && status != "ok" {
				return noResult{fmt.Errorf("the request ended as %q, cause %q", status, h.Get("Stoker-Cause"))}
			}
			return err
		},
	}
	c.Flags().DurationVar(&wait, "wait", 0, "wait so long for a request that has not ended yet")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "print status, cause and attempt too")
	return c
}
