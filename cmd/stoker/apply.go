package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/terminal"
	"stoker.dev/stoker/functions"
)

// manifestExt are the files `apply -f DIR` reads.
var manifestExt = []string{".yaml", ".yml", ".json"}

func (a *app) applyCommand() *cobra.Command {
	var files []string
	var dryRun bool
	var out format
	c := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Deploy functions from manifests",
		Long: `Deploy the functions in manifests: created, configured or unchanged.

FILE is YAML or JSON with one or more documents, a directory of such files, or - for
standard input. All of them are checked before the first is deployed. A changed runtime,
placement or resources makes a new revision, which takes over without dropping a request.

--dry-run deploys nothing and shows, field by field, what is there and what would be, and which
of it replaces the replicas that run. It exits with 0 where everything could be deployed, changed
or not, and with 1 where something could not; -o json tells the actions and changes to programs.`,
		Example: "  stoker apply -f tinylm.yaml\n  stoker apply --dry-run -f deploy/examples",
		Args:    exactly(0, "none beside -f FILE"),
		RunE:    func(c *cobra.Command, _ []string) error { return a.apply(c, files, dryRun, out) },
	}
	c.Flags().StringArrayVarP(&files, "filename", "f", nil, "manifest file, directory, or - (may be repeated)")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "check and say what would happen, deploy nothing")
	out.bind(c)
	return c
}

func (a *app) apply(c *cobra.Command, files []string, dryRun bool, out format) error {
	if len(files) == 0 {
		return usageError{errors.New("which manifest? give -f FILE, -f DIRECTORY or -f -")}
	}
	sources, err := a.manifests(files)
	if err != nil {
		return fmt.Errorf("nothing is deployed, correct this first:\n%w", err)
	}
	if err := distinct(sources); err != nil {
		return err
	}
	cl, _, err := a.client()
	if err != nil {
		return err
	}
	if len(sources) > 1 && !dryRun { // what only the platform can check, for all before the first
		if _, err := applyAll(c.Context(), cl, sources, true); err != nil {
			return err
		}
	}
	all, err := applyAll(c.Context(), cl, sources, dryRun)
	return errors.Join(out.print(a.out, all, func(w io.Writer) error { return sayApplied(w, all, dryRun) }), err)
}

// applyAll returns what was done before an error too.
func applyAll(ctx context.Context, cl *api.Client, sources []source, dryRun bool) ([]api.Applied, error) {
	all := []api.Applied{}
	for _, s := range sources {
		applied, err := cl.Apply(ctx, s.name, s.data, dryRun)
		if remote := (*api.Error)(nil); errors.As(err, &remote) && remote.Code == http.StatusUnprocessableEntity {
			err = fmt.Errorf("%s: %w", s.name, err) // a function the platform cannot run
		}
		if err != nil {
			return all, err
		}
		all = append(all, applied...)
	}
	return all, nil
}

// distinct refuses a function that is in two files: whichever came last would win, and undo
// the other on every apply.
func distinct(sources []source) error {
	first := map[functions.Key]string{}
	var errs []error
	for _, s := range sources {
		for _, f := range s.fns {
			if other, twice := first[f.Key()]; twice {
				errs = append(errs, fmt.Errorf("function %s is in %s and in %s: deploy one of them, or rename one", f.Key(), other, s.name))
			}
			first[f.Key()] = s.name
		}
	}
	return errors.Join(errs...)
}

func sayApplied(w io.Writer, all []api.Applied, dryRun bool) error {
	suffix := ""
	if dryRun {
		suffix = " (dry run)"
	}
	for _, x := range all {
		rolls := ""
		if x.Rolls && x.Action == "configured" {
			rolls = ", new revision takes over"
		}
		fmt.Fprintf(w, "function %s %s, revision %s%s%s\n", x.Key, x.Action, x.Revision, rolls, suffix)
		if dryRun {
			sayChanges(w, x.Changes)
		}
	}
	return nil
}

// sayChanges shows what is there and what would be.
func sayChanges(w io.Writer, changes []functions.Change) {
	for _, c := range changes {
		effect := ""
		if c.Rolls {
			effect = "  (replaces running replicas)"
		}
		fmt.Fprintf(w, "  %s: %s → %s%s\n", c.Path, terminal.Line(unset(c.Old)), terminal.Line(unset(c.New)), effect)
	}
}

func unset(value string) string {
	if value == "" {
		return "(none)"
	}
	return value
}

// source is the text of one manifest file.
type source struct {
	name string
	data []byte
	fns  []functions.Function
}

// manifests reads and checks all files, so that a mistake in the last one deploys nothing.
func (a *app) manifests(files []string) ([]source, error) {
	var out []source
	for _, f := range files {
		s, err := a.read(f)
		if err != nil {
			return nil, err
		}
		out = append(out, s...)
	}
	var problems []error
	for i := range out {
		fns, err := functions.Parse(out[i].name, out[i].data)
		out[i].fns = fns
		problems = append(problems, err)
	}
	return out, errors.Join(problems...)
}

func (a *app) read(file string) ([]source, error) {
	if file == "-" {
		data, err := io.ReadAll(a.in)
		return []source{{name: "standard input", data: data}}, err
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file or directory", file)
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		data, err := os.ReadFile(file)
		return []source{{name: file, data: data}}, err
	}
	return readDir(file)
}

func readDir(dir string) ([]source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []source
	for _, e := range entries {
		if e.IsDir() || !slices.Contains(manifestExt, filepath.Ext(e.Name())) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out = append(out, source{name: path, data: data})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no .yaml, .yml or .json file in it", dir)
	}
	return out, nil
}

func (a *app) deleteCommand() *cobra.Command {
	var files []string
	c := &cobra.Command{
		Use:     "delete NAME... | -f FILE",
		Short:   "Delete functions: what is in flight finishes, what waits ends with a record",
		Example: "  stoker delete tinylm chat/qwen\n  stoker delete -f deploy/examples",
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			keys, err := a.keysOf(args, files)
			if err != nil {
				return err
			}
			cl, _, err := a.client()
			if err != nil {
				return err
			}
			for _, k := range keys {
				if err := cl.Delete(c.Context(), k); err != nil {
					return err
				}
				fmt.Fprintf(a.out, "function %s is being deleted\n", k)
			}
			return nil
		},
		ValidArgsFunction: a.completeFunctions,
	}
	c.Flags().StringArrayVarP(&files, "filename", "f", nil, "delete the functions of these manifests")
	return c
}

func (a *app) keysOf(args, files []string) ([]functions.Key, error) {
	var out []functions.Key
	for _, arg := range args {
		k, err := a.key(arg)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	sources, err := a.manifests(files)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		for _, f := range s.fns {
			out = append(out, f.Key())
		}
	}
	if len(out) == 0 {
		return nil, usageError{errors.New("which function? give its NAME or -f FILE")}
	}
	return out, nil
}

func (a *app) schemaCommand() *cobra.Command {
	schemas := map[string]func() ([]byte, error){
		functions.KindFunction: functions.Schema, functions.KindTrainingJob: functions.JobSchema, functions.KindJobQueue: functions.JobQueueSchema,
	}
	kinds := []string{functions.KindFunction, functions.KindTrainingJob, functions.KindJobQueue}
	return &cobra.Command{
		Use:       "schema [KIND]",
		Short:     "Print the JSON Schema of manifests, for editors and CI",
		Long:      "Print the JSON Schema of manifests of a kind: " + strings.Join(kinds, ", ") + "; the first unless another is named.",
		Example:   "  stoker schema > function.schema.json\n  stoker schema TrainingJob > job.schema.json",
		Args:      between(0, 1, "a KIND, or none for "+functions.KindFunction),
		ValidArgs: kinds,
		RunE: func(_ *cobra.Command, args []string) error {
			kind := append(args, functions.KindFunction)[0]
			schema, known := schemas[kind]
			if !known {
				return usageError{fmt.Errorf("there is no kind %q; allowed: %s", kind, strings.Join(kinds, ", "))}
			}
			data, err := schema()
			if err != nil {
				return err
			}
			_, err = a.out.Write(append(data, '\n'))
			return err
		},
	}
}
