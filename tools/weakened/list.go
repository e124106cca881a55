package main

// weakening is one check, and what stands there without it.
type weakening struct {
	name  string
	holds string // the invariant of docs/DESIGN.md
	file  string
	// check is replaced by instead
	check, instead string
	pkg            string // whose tests are run; ./tests where empty
	tests          string
}

var weakenings = []weakening{
	{
		name: "links: only root's are followed", holds: "I-3", file: "internal/dirfd/walk.go",
		check: "if st.UID != 0 {\n\t\treturn pathError(\"open\", link.path, fmt.Errorf(\"is a symbolic link owned", instead: "if false {\n\t\treturn pathError(\"open\", link.path, fmt.Errorf(\"is a symbolic link owned",
		pkg: "internal/dirfd", tests: "Test.*",
	},
	{
		name: "links: none below a place open to others", holds: "I-3", file: "internal/dirfd/walk.go",
		check: "if w.exposure.Exposed() {\n\t\treturn pathError", instead: "if false {\n\t\treturn pathError",
		pkg: "internal/dirfd", tests: "Test.*",
	},
	{
		name: "polydir: it is still the one that was approved", holds: "I-3", file: "internal/apply/enter.go",
		check: "way.Missing || way.Stat.ID != s.Polydir", instead: "way.Missing",
		tests: "TestPolydirSwappedMeanwhile",
	},
	{
		name: "polydir: nobody else can rename it", holds: "I-3", file: "internal/polyinst/decide.go",
		check: "if swap.Others || swap.UID != s.UID {\n\t\t\treturn Owner{}", instead: "if false {\n\t\t\treturn Owner{}",
		tests: "TestPolydirOfAnotherInAStickyDirectory|TestRefusals",
	},
	{
		name: "polydir in $HOME: made with the user's rights", holds: "I-4", file: "internal/apply/stage.go",
		check: "if want.AsUser {\n\t\tif err := dirfd.ActAs", instead: "if false {\n\t\tif err := dirfd.ActAs",
		tests: "TestAttackers/polydir_in_\\$HOME,_made|TestCreateWhileTheUserSwaps",
	},
	{
		name: "instance parent: root's", holds: "I-3", file: "internal/polyinst/decide.go",
		check: "case d.Owner.UID != 0:\n\t\treturn bad(\"owned by uid %d, want root:", instead: "case false:\n\t\treturn bad(\"owned by uid %d, want root:",
		tests: "TestRefusals|TestAttackers/instance_parent_in_\\$HOME",
	},
	{
		name: "instance parent: closed to all", holds: "I-3", file: "internal/polyinst/decide.go",
		check: "case d.Owner.Mode != rule.Config.ParentMode:", instead: "case false:",
		tests: "TestRefusals",
	},
	{
		name: "instance: the polydir's owner", holds: "I-5", file: "internal/polyinst/decide.go",
		check: "case d.Owner.UID != step.Owner.UID:", instead: "case false:",
		tests: "TestRefusals|TestRepair",
	},
	{
		name: "instance: made for this uid", holds: "I-5", file: "internal/polyinst/decide.go",
		check: "if f.Recorded && f.RecordedUID != s.UID && !step.Shared {", instead: "if false {",
		pkg: "internal/polyinst", tests: "Test.*",
	},
	{
		name: "instance: on the parent's own mount", holds: "I-3", file: "internal/dirfd/dirfd.go",
		check: "fd, err := d.open(name, unix.O_PATH, unix.RESOLVE_NO_XDEV, 0)", instead: "fd, err := d.open(name, unix.O_PATH, 0, 0)",
		tests: "TestRefusals",
	},
	{
		name: "lock: not one that gc has removed", holds: "I-10", file: "internal/apply/stage.go",
		check: "if st.Nlink > 0 {", instead: "if st.Nlink > 0 || true {",
		tests: "TestLoginBehindGc",
	},
	{
		name: "namespace: cut off from the host's", holds: "I-6", file: "internal/apply/enter.go",
		check: "if err := mntns.Isolate(p == config.PropagationPrivate); err != nil {", instead: "if err := error(nil); err != nil && mntns.Isolate(false) != nil {",
		tests: "TestPropagation|TestAttackers/public_directory",
	},
	{
		name: "view: the mount that was made is the one seen", holds: "I-7", file: "internal/apply/enter.go",
		check: "if way.Stat.ID != s.Root || way.Stat.MountID != s.MountID {", instead: "if false {",
		tests: "TestProofBeforeSuccess",
	},
	{
		name: "view: the mount's attributes", holds: "I-7", file: "internal/apply/enter.go",
		check: "config.MountFlags(flags)&want != want", instead: "false",
		tests: "TestProofBeforeSuccess",
	},
	{
		name: "working directory: the same one, not the same path", holds: "I-8", file: "internal/apply/cwd.go",
		check: "case way.Stat.ID == before.ID, slices.Contains(polydirs, path):", instead: "case way.Stat.ID == before.ID || true:",
		tests: "TestNestedWorkingDirectory",
	},
	{
		name: "working directory: never the public one", holds: "I-8", file: "internal/apply/cwd.go",
		check: "return keepIf(uid == 0 || !inside)", instead: "return keepIf(true)",
		tests: "TestAttackers/working_directory",
	},
	{
		name: "record: of this very namespace", holds: "I-11", file: "internal/record/record.go",
		check: "if r.NS != id || r.Root != root.MountID || r.Unique != root.MountUnique {", instead: "if r.NS != id {",
		tests: "TestStaleRecordIsNotBelieved",
	},
	{
		name: "enter: no user namespace but ours", holds: "I-11", file: "internal/mntns/mntns.go",
		check: "return theirs.Ino == ours.Ino && theirs.Dev == ours.Dev, nil", instead: "return true, nil",
		tests: "TestEnterFollowsNobodyIntoHisUserNamespace",
	},
	{
		name: "enter: the view is what was recorded", holds: "I-11", file: "cmd/polyinst/enter.go",
		check: "if err := r.Agrees(outside); err != nil {", instead: "if err := r.Agrees(outside); false && err != nil {",
		tests: "TestEnterVerifies",
	},
	{
		name: "view already: by the very mounts", holds: "I-11", file: "internal/record/record.go",
		check: "return !byMount || way.Stat.MountID == p.MountID", instead: "return true || way.Stat.MountID == p.MountID",
		tests: "TestViewThatWasTakenApart|TestSharedThatWasTakenApart",
	},
	{
		name: "gc: what a live namespace shows stays", holds: "I-10", file: "internal/reap/gc.go",
		check: "case !x.stale && used[x.name]:", instead: "case false:",
		tests: "TestGcTakesOnlyItsOwn|TestAttackers/instance_that_is_removed",
	},
	{
		name: "close: nobody is left in the namespace", holds: "I-10", file: "internal/session/close.go",
		check: "if others > 0 {", instead: "if false {",
		tests: "TestTmpdirOfALeftProcess",
	},
	{
		name: "removal: by handle, following no link", holds: "I-10", file: "internal/dirfd/tree.go",
		check:   "child, err := d.LookupHere(name)\n\tif err != nil {\n\t\treturn err\n\t}",
		instead: "fd, err := unix.Openat(d.FD(), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)\n\tif err != nil {\n\t\treturn pathError(\"open\", name, err)\n\t}\n\tchild := newDir(fd, join(d.path, name))",
		tests:   "TestRemovalWhileNamesAreSwapped|TestAttackers/instance_that_is_removed",
	},
	{
		name: "log: a user's text makes no line of its own", holds: "I-14", file: "internal/hostconn/hostconn.go",
		check: "if r < 0x20 || r == 0x7f ||", instead: "if r == 0x7f ||",
		pkg: "internal/hostconn", tests: "Test.*|Fuzz.*",
	},
	{
		name: "rescue: not from one's own doing", holds: "I-15", file: "internal/polyinst/subject.go",
		check: "if r.Fault == FaultUser || r.Unknown {", instead: "if r.Unknown {",
		pkg: "internal/polyinst", tests: "Test.*",
	},
	{
		name: "configuration: root's alone", holds: "I-3", file: "internal/dirfd/file.go",
		check: "case st.Mode&0o022 != 0:", instead: "case false:",
		tests: "TestRefusals",
	},
	{
		name: "init script: judged where it runs", holds: "I-7", file: "internal/apply/enter.go",
		check: "script, err := hook.Check(i.Path)\n\tif err != nil {", instead: "script, err := hook.Check(i.Path)\n\tif script = i.Path; false {",
		tests: "TestInitIsJudgedWhereItRuns",
	},
	{
		name: "worker: nothing of the host's stays open", holds: "I-2", file: "pam_polyinst/module.c",
		check: "syscall(SYS_close_range, way < 0 ? 4U : 5U, ~0U, 0U);", instead: "",
		tests: "TestWorkerHoldsNothingOfTheHosts",
	},
	{
		name: "host: takes a dead worker's mounts off", holds: "I-9", file: "pam_polyinst/module.c",
		check: "umount2(path, MNT_DETACH);", instead: ";",
		tests: "TestWorkerKilledInPlace",
	},
	{
		name: "host: success is what the worker says", holds: "I-12", file: "pam_polyinst/module.c",
		check: "if (!a->reported) {\n\t\tresult = no_answer(call,", instead: "if (0) {\n\t\tresult = no_answer(call,",
		tests: "TestKilledInTheMiddle",
	},
}
