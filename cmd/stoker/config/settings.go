package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/pflag"
)

// Setting is one line of what `stoker config` prints.
type Setting struct {
	Variable string `json:"variable"`
	Flag     string `json:"flag"`
	Value    string `json:"value"`
	Source   string `json:"source"` // default, environment or flag
	Help     string `json:"help"`
}

// Settings lists what is in force and where it comes from. Passwords in addresses are hidden.
func (c Config) Settings(fs *pflag.FlagSet) []Setting {
	var out []Setting
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		s := Setting{
			Variable: tag.Get("envconfig"), Flag: "--" + tag.Get("flag"),
			Value: fmt.Sprint(v.Field(i).Interface()), Source: "default", Help: tag.Get("desc"),
		}
		if tag.Get("hide") == "user" {
			s.Value = redact(s.Value)
		}
		if _, set := os.LookupEnv(s.Variable); set {
			s.Source = "environment"
		}
		if f := fs.Lookup(tag.Get("flag")); f != nil && f.Changed {
			s.Source = "flag"
		}
		out = append(out, s)
	}
	return out
}

// redact hides user and password of each address in a list.
func redact(list string) string {
	addresses := strings.Split(list, ",")
	for i, a := range addresses {
		at := strings.LastIndex(a, "@")
		if at < 0 {
			continue
		}
		scheme, _, found := strings.Cut(a[:at], "://")
		if found {
			scheme += "://"
		} else {
			scheme = "" // the client takes nats:// for granted
		}
		addresses[i] = scheme + "***@" + a[at+1:]
	}
	return strings.Join(addresses, ",")
}
