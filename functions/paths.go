package functions

import (
	"slices"
	"strconv"
	"strings"
)

// checkLocalPaths keeps a manifest's paths from leaving the directory they begin in. A program
// without a slash is looked up on PATH, a relative one is below the working directory, which is the
// replica's own unless the manifest names another; who means another place writes it out.
func checkLocalPaths(run Runtime) []FieldError {
	local := run.Local
	if local == nil {
		return nil
	}
	var errs []FieldError
	at := place{}.field("spec").field("runtime").field("local")
	if len(local.Command) > 0 && climbs(local.Command[0]) {
		errs = append(errs, climbing(at.field("command").entry(0), local.Command[0]))
	}
	if climbs(local.WorkingDir) {
		errs = append(errs, climbing(at.field("workingDir"), local.WorkingDir))
	}
	return errs
}

// climbs tells whether a path goes up anywhere.
func climbs(path string) bool { return slices.Contains(strings.Split(path, "/"), "..") }

func climbing(at place, path string) FieldError {
	return FieldError{
		Path: at.path, Value: strconv.Quote(shorten(path)), Err: ErrValue, Allowed: "a path without ..",
		Hint: "write out the absolute path that is meant",
	}
}
