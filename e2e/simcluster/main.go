// Command simcluster is a Kubernetes control plane and kwok in one file: the first argument says which of them this
// process is, the others are that program's own.
//
// Five programs linked by themselves would be five times the linking and nearly three times the bytes. They have a
// module of their own since Kubernetes needs 33 replace directives and 180 modules that the product shall not know.
package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of the API client, as the originals have
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/kwok/cmd"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

// roles are the programs, by the name their own binary would have. Each returns its exit code.
var roles = map[string]func() int{
	"etcd":                    etcd,
	"kube-apiserver":          func() int { return cli.Run(apiserver.NewAPIServerCommand()) },
	"kube-scheduler":          func() int { return cli.Run(scheduler.NewSchedulerCommand()) },
	"kube-controller-manager": func() int { return cli.Run(controllermanager.NewControllerManagerCommand()) },
	"kwok":                    kwok,
}

func main() {
	var name string
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	role, ok := roles[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "simcluster: role %q is unknown; the first argument is one of %s\n",
			name, strings.Join(slices.Sorted(maps.Keys(roles)), ", "))
		os.Exit(2)
	}
	os.Args = os.Args[1:] // every program sees itself as called by its own name
	os.Exit(role())
}

func etcd() int {
	etcdmain.Main(os.Args) // ends the process itself when it fails
	return 0
}

// kwok is kwok's own main. Kubernetes' packages have put a --version with a value on the process-wide flags, and
// kwok adds its own boolean one; so it gets flags that nobody else has touched.
func kwok() int {
	pflag.CommandLine = pflag.NewFlagSet("kwok", pflag.ContinueOnError)
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, logger := log.InitFlags(signals.SetupSignalContext(), flags)
	ctx, err := config.InitFlags(ctx, flags)
	if err != nil {
		logger.Error("read the configuration", "err", err)
		return 1
	}
	command := cmd.NewCommand(ctx)
	command.PersistentFlags().AddFlagSet(flags)
	if err := command.ExecuteContext(ctx); err != nil {
		logger.Error("end", "err", err)
		return 1
	}
	return 0
}
