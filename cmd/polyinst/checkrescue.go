package main

import (
	"cmp"
	"fmt"
	"strings"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/observe"
)

// printRescue says who gets in, without private directories, when what breaks:
// by the file alone, and by each of our lines in the stacks of the directory pam
// that has a say in it.
func printRescue(c *config.Config, files observe.Files, pam string) {
	fmt.Fprintln(stdout, "who gets in, without private directories, when this is broken:")
	rescueTable(c, files, config.Args{}).print()
	if pam == "" {
		return
	}
	stacks, _ := readStacks(pam)
	seen := map[string]bool{}
	for _, service := range pamstack.Services(stacks) {
		entry, _, _ := stacks.SessionLine(service)
		args, _ := config.ParseArgs(entry.Args)
		if args.Conf != "" && args.Conf != files.Main.Name {
			continue // it goes by another configuration
		}
		if pos := entry.Pos.String(); (args.HasRescue || args.HasRequire) && !seen[pos] {
			seen[pos] = true
			fmt.Fprintf(stdout, "by the PAM line %s:\n", pos)
			rescueTable(c, files, args).print()
		}
	}
}

// rescueTable is by the very functions that the module asks.
func rescueTable(c *config.Config, files observe.Files, args config.Args) *table {
	security := observe.Security(lsm.Own(), observe.CurrentContext, nobodyYet)
	byContext := c.ByContext()
	accepted := observe.AcceptedRescue(files.Main.Name)
	t := &table{indent: "  "}
	add := func(what string, r plan.Rescue, more string) {
		t.add(what, whoIs(r.Who(byContext, security))+more)
	}
	more := ""
	if accepted == nil {
		more = "; `polyinst check --accept` keeps a list for that"
	}
	add("the file, but not its [namespace]", plan.RescueOfBroken(&c.Namespace.Rescue, accepted, args), "")
	add("[namespace], or the whole file", plan.RescueOfBroken(nil, accepted, args), more)
	add("the machine", plan.RescueOf(c, args), "")
	t.add("the module's worker", "root")
	return t
}

// whoIs names those whom lists admit, and where these stand.
func whoIs(lists []plan.RescueList) string {
	var who []string
	for _, l := range lists {
		text := strings.ReplaceAll(l.Users.String(), ",", ", ")
		if l.Where != "" {
			text += " (" + l.Where + ")"
		}
		who = append(who, text)
	}
	return cmp.Or(strings.Join(who, ", "), "nobody")
}
