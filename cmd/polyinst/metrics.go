package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/reap"
)

func metricsCommand() *cobra.Command {
	var conf, output string
	var sizes bool
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "print numbers for Prometheus",
		Long: `Metrics prints what list shows as numbers in Prometheus' text format, for the
textfile collector of the node exporter. Where the configuration is broken,
polyinst_config_problems says so, and of instances nothing is said.`,
		Example: `  polyinst metrics
  polyinst metrics --output /var/lib/prometheus/node-exporter/polyinst.prom`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			if err := needUID0("metrics"); err != nil {
				return err
			}
			text, err := metrics(conf, sizes)
			if err != nil {
				return err
			}
			if output == "" {
				fmt.Print(text)
				return nil
			}
			return replace(output, text, 0o644)
		},
	}
	confFlag(cmd, &conf)
	cmd.Flags().BoolVar(&sizes, "sizes", false, "also sum up what the instances take, which reads all of them")
	cmd.Flags().StringVar(&output, "output", "", "replace `FILE` in one step")
	return cmd
}

// family is one metric with its values.
type family struct {
	name, help string
	values     map[string]float64 // by labels
}

func (f family) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", f.name, f.help, f.name)
	var labels []string
	for l := range f.values {
		labels = append(labels, l)
	}
	sort.Strings(labels)
	for _, l := range labels {
		fmt.Fprintf(&b, "%s%s %s\n", f.name, l, strconv.FormatFloat(f.values[l], 'f', -1, 64))
	}
	return b.String()
}

// label is {name="value",...}.
func label(pairs ...string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, pairs[i]+`="`+escape.Replace(pairs[i+1])+`"`)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func metrics(conf string, sizes bool) (string, error) {
	all, err := namespaces()
	if err != nil {
		return "", err
	}
	sessions := family{"polyinst_namespaces", "Live private namespaces.", map[string]float64{"": float64(len(all))}}
	processes := family{"polyinst_processes", "Processes in private namespaces.", map[string]float64{"": 0}}
	users := map[string]bool{}
	for _, n := range all {
		processes.values[""] += float64(len(n.PIDs))
		users[n.User] = true
	}
	people := family{"polyinst_users", "Users with a live private namespace.", map[string]float64{"": float64(len(users))}}
	problems := family{"polyinst_config_problems", "Problems of the configuration; sessions are refused unless it is 0.", map[string]float64{"": 0}}
	out := []family{sessions, people, processes, problems}

	c, _, found, err := read(conf, true)
	if err != nil || len(found) > 0 {
		problems.values[""] = float64(max(len(found), 1)) // a file that cannot be read is one
		return text(out), nil
	}
	var where []reap.Parent
	for _, p := range parents(c, false) {
		where = append(where, reap.Parent{Path: p.path, Prefix: p.prefix})
	}
	var errs []error
	instances, err := reap.Instances(where, func(err error) { errs = append(errs, err) })
	if err := errors.Join(append(errs, err)...); err != nil {
		return "", err
	}
	number := family{"polyinst_instances", "Instances on the disk.", map[string]float64{}}
	bytes := family{"polyinst_instance_bytes", "What the instances take on the disk.", map[string]float64{}}
	for _, p := range where {
		for _, s := range []reap.State{reap.InUse, reap.Idle, reap.Stale, reap.Foreign} {
			number.values[label("parent", p.Path, "state", stateName(s))] = 0
		}
		bytes.values[label("parent", p.Path)] = 0
	}
	progress := newProgress("summing up", len(instances))
	defer progress.hide()
	for _, i := range instances {
		number.values[label("parent", i.Parent, "state", stateName(i.State))]++
		if !sizes {
			continue
		}
		u, err := i.Usage(progress.entry)
		progress.instance()
		if err != nil {
			continue // it is gone by now
		}
		bytes.values[label("parent", i.Parent)] += float64(u.Bytes)
	}
	out = append(out, number)
	if sizes {
		out = append(out, bytes)
	}
	return text(out), nil
}

func stateName(s reap.State) string { return strings.ReplaceAll(string(s), " ", "_") }

func text(all []family) string {
	var b strings.Builder
	for _, f := range all {
		b.WriteString(f.String())
	}
	return b.String()
}

// replace puts a text into a file in one step: who reads it never sees half.
func replace(path, text string, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".polyinst.")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
