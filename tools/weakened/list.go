package main

// weakening is one check, and what stands there without it.
type weakening struct {
	name  string
	holds string // the invariant of docs/DESIGN.md
	file  string
	// check is replaced by instead
	check, instead string
	pkg            string // whose tests are run; the stories of ./tests/... where empty
	tests          string
}

var weakenings = []weakening{
	{
		name: "watch: what lies over an instance is seen", holds: "I-7", file: "internal/kernel/mntns/walk.go",
		check: "a.Parent() == id && a.Point() == point", instead: "a.Point() == point+\"/\"",
		tests: "TestWatch",
	},
	{
		name: "watch: a namespace is watched as soon as it is there", holds: "I-7", file: "cmd/polyinst/watch.go",
		check: "err = events.Namespace(ns)", instead: "err = nil",
		tests: "TestWatch",
	},
	{
		name: "walks: what others can change is gone to by each", holds: "I-3", file: "internal/kernel/dirfd/walks.go",
		check: "st.UID != 0 || st.Mode&0o022 != 0 || next.on == nil", instead: "next.on == nil",
		pkg: "internal/kernel/dirfd", tests: "TestWalks",
	},
	{
		name: "walks: what is covered is forgotten", holds: "I-7", file: "internal/kernel/dirfd/walks.go",
		check: "if e.stat.Spot() == spot {", instead: "if false {",
		pkg: "internal/kernel/dirfd", tests: "TestWalksAreCovered",
	},
	{
		name: "walks: what could not be asked at first is asked", holds: "I-3", file: "internal/kernel/dirfd/walker.go",
		check: "if err == nil && (untold != nil ||", instead: "if err == nil && (false ||",
		tests: "TestRescueIsNotForWhatCannotBeLookedAt",
	},
	{
		name: "ready worker: a configuration is known by its bytes", holds: "I-21", file: "internal/observe/configuration.go",
		check: "bytes.Equal(a.Data, b.Data)", instead: "(bytes.Equal(a.Data, b.Data) || len(a.Data) == len(b.Data))",
		tests: "TestReadyReadsTheConfiguration",
	},
	{
		name: "ready worker: a tmpdir that another namespace shows stays", holds: "I-10", file: "internal/gc/ended.go",
		check: "if r.Of(p, of.UID) != live.Free {", instead: "if false && r.Of(p, of.UID) != live.Free {",
		tests: "TestReadyRemovesByTheEnd",
	},
	{
		name: "source: nobody else can rename it", holds: "I-3", file: "internal/core/plan/shown.go",
		check: "if why := cannotRename(d, s, s.shuts)", instead: "if why := cannotRename(DirFacts{}, s, s.shuts)",
		tests: "TestSourceOfOthers",
	},
	{
		name: "source: where the user can rename it, it is theirs", holds: "I-4", file: "internal/core/plan/shown.go",
		check: "case len(d.Swaps) > 0 && d.Owner.UID != s.UID:", instead: "case false:",
		tests: "TestSourceOfOthers",
	},
	{
		name: "source: on no filesystem of a user's own", holds: "I-3", file: "internal/observe/shown.go",
		check: "dirfd.WalkAny(dirfd.NoUID, rule.Source, nil)", instead: "dirfd.WalkAny(2001, rule.Source, nil)",
		tests: "TestSourceOfOthers",
	},
	{
		name: "hidden: the shared source is root's, shut and empty", holds: "I-7", file: "internal/sessions/record/empty.go",
		check: "case err != nil || st.UID != 0 || st.Mode != mode:", instead: "case err != nil:",
		tests: "TestShown",
	},
	{
		name: "hidden: nobody writes to it", holds: "I-7", file: "internal/core/plan/shown.go",
		check: "config.NoSuid | config.NoDev | config.NoExec | config.ReadOnly", instead: "config.NoSuid",
		pkg: "internal/core/plan", tests: "TestDecide",
	},
	{
		name: "same: what is mounted below has the options", holds: "I-7", file: "internal/apply/stage.go",
		check: "if s.Step.Source.Tree() {", instead: "if false {",
		tests: "TestShown",
	},
	{
		name: "proc: what is hidden does not pass for gone", holds: "I-11", file: "internal/kernel/procfs/procfs.go",
		check: "return unix.Statfs(Path, &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC", instead: "return unix.Statfs(Path, &fs) != nil",
		tests: "TestOwnProcBlindsNoWorker",
	},
	{
		name: "keep: the user's own is the user's", holds: "I-4", file: "internal/core/plan/keep.go",
		check: "case d.Owner.UID != s.UID:", instead: "case false:",
		tests: "TestKeepOwnIsOnesOwn",
	},
	{
		name: "keep: what is above the user's own is root's", holds: "I-3", file: "internal/core/plan/keep.go",
		check: "if why := EntryProblem(d); why != \"\" {", instead: "if why := EntryProblem(d); false {",
		pkg: "internal/core/plan", tests: "TestDecide",
	},
	{
		name: "links: only root's are followed", holds: "I-3", file: "internal/kernel/dirfd/walker.go",
		check: "if st.UID != 0 {\n\t\treturn pathError(\"open\", link.path, fmt.Errorf(\"is a symbolic link owned", instead: "if false {\n\t\treturn pathError(\"open\", link.path, fmt.Errorf(\"is a symbolic link owned",
		pkg: "internal/kernel/dirfd", tests: "Test.*",
	},
	{
		name: "links: none below a place open to others", holds: "I-3", file: "internal/kernel/dirfd/walker.go",
		check: "if w.exposure.Exposed() {\n\t\tdir, reason", instead: "if false {\n\t\tdir, reason",
		pkg: "internal/kernel/dirfd", tests: "Test.*",
	},
	{
		name: "filesystems: those whose owners the kernel keeps", holds: "I-3", file: "internal/kernel/dirfd/walker.go",
		check: "if f.Believed {\n\t\treturn", instead: "if true {\n\t\treturn",
		pkg: "internal/kernel/dirfd", tests: "Test.*",
	},
	{
		name: "filesystems: FUSE is not among them", holds: "I-3", file: "internal/kernel/dirfd/filesystem.go",
		check: "\"tmpfs\": true, \"ramfs\"", instead: "\"fuse\": true, \"tmpfs\": true, \"ramfs\"",
		tests: "TestFilesystemThatLies|TestKeepOnAUsersFilesystem",
	},
	{
		name: "filesystems: no name is taken for options", holds: "I-3", file: "internal/kernel/mountinfo/mountinfo.go",
		check: "rest := strings.Split(after, \" \")\n\t\tm.FSType = rest[0]\n\t\tif len(rest) == 3", instead: "rest := strings.Fields(after)\n\t\tm.FSType = rest[0]\n\t\tif len(rest) >= 3",
		tests: "TestHangingHome|TestPolydirOnAUsersFilesystem",
	},
	{
		name: "filesystems: a user's own is not asked", holds: "I-3", file: "internal/kernel/dirfd/usersmount.go",
		check: "if f.ByUser && (own == NoUID || f.UID != own) {", instead: "if false {",
		pkg: "internal/kernel/dirfd", tests: "Test.*",
	},
	{
		name: "filesystems: what a user's own says of owners is void", holds: "I-4", file: "internal/core/plan/decide.go",
		check: "if d.VoidOwners {", instead: "if false {",
		tests: "TestPolydirOnAUsersFilesystem",
	},
	{
		name: "filesystems: no file of root's on one that is not believed", holds: "I-3", file: "internal/kernel/dirfd/walk.go",
		check: "return e.Dir != \"\" || e.Foreign != \"\"", instead: "return e.Dir != \"\"",
		pkg: "internal/kernel/dirfd", tests: "Test.*",
	},
	{
		name: "filesystems: an instance brings its own along", holds: "I-3", file: "internal/kernel/dirfd/walker.go",
		check: "if over.Foreign != \"\" {", instead: "if false {",
		pkg: "internal/kernel/dirfd", tests: "TestViewOfForeignFilesystem",
	},
	{
		name: "filesystems: no parent where users can make names", holds: "I-3", file: "internal/core/plan/parent.go",
		check: "case d.Foreign != \"\" && d.Exposed != \"\":", instead: "case false:",
		pkg: "internal/core/plan", tests: "Test.*",
	},
	{
		name: "filesystems: nothing is kept of one that is not believed", holds: "I-16", file: "internal/observe/keep.go",
		check: "err == nil && !f.Believed {", instead: "err == nil && false {",
		tests: "TestKeepOnARemoteFilesystem",
	},
	{
		name: "keep: a pattern stands for root's directories alone", holds: "I-16", file: "internal/observe/keep.go",
		check: "!st.IsDir() || st.UID != 0 {", instead: "!st.IsDir() {",
		tests: "TestKeepPatternIsBounded",
	},
	{
		name: "keep: a pattern has an end", holds: "I-16", file: "internal/observe/keep.go",
		check: "found > plan.KeptByPattern {", instead: "false {",
		tests: "TestKeepPatternIsBounded",
	},
	{
		name: "keep: a mount point that is needed stays", holds: "I-16", file: "internal/apply/keep.go",
		check: "if dirfd.IsNotExist(err) {\n\t\t\t_ = instance.Rmdir(name)", instead: "if true {\n\t\t\t_ = instance.Rmdir(name)",
		tests: "TestKeepPattern",
	},
	{
		name: "keep: links work in what root alone can enter", holds: "I-16", file: "internal/core/plan/keep.go",
		check: "if k.Own || k.Mode&0o077 == 0 {", instead: "if false {",
		pkg: "internal/core/plan", tests: "TestDecide",
	},
	{
		name: "rescue: not for what a user brought about", holds: "I-15", file: "internal/core/plan/decide.go",
		check: "if swap.UID != 0 && s.UID != 0 {", instead: "if swap.UID != 0 && false {",
		tests: "TestSquatter",
	},
	{
		name: "polydir: it is still the one that was approved", holds: "I-3", file: "internal/apply/enter.go",
		check: "way.Missing || way.Stat.ID != s.Polydir", instead: "way.Missing",
		tests: "TestPolydirSwappedMeanwhile",
	},
	{
		name: "polydir: nobody else can rename it", holds: "I-3", file: "internal/core/plan/decide.go",
		check: "if why := cannotRename(d, s, s.shuts)", instead: "if why := cannotRename(DirFacts{}, s, s.shuts)",
		tests: "TestPolydirOfAnotherInAStickyDirectory|TestRefusals",
	},
	{
		name: "polydir in $HOME: made with the user's rights", holds: "I-4", file: "internal/apply/stage.go",
		check: "if want.AsUser {\n\t\tif err := dirfd.ActAs", instead: "if false {\n\t\tif err := dirfd.ActAs",
		tests: "TestAttackers/polydir_in_\\$HOME,_made|TestCreateWhileTheUserSwaps",
	},
	{
		name: "instance parent: made in root's own home alone", holds: "I-3", file: "internal/core/plan/parent.go",
		check: "return s.UID == 0 && d.Exposed == \"\" &&", instead: "return s.UID == 0 && true &&",
		pkg: "internal/core/plan", tests: "TestParentInRootsHome",
	},
	{
		name: "doctor and report: an sshd that opens no sessions", holds: "what the tools say is true", file: "cmd/polyinst/internal/pamstack/daemon.go",
		check: "if uses, pos := usesPAM(files); !uses {", instead: "if uses, pos := usesPAM(files); !uses && false {",
		pkg: "cmd/polyinst/internal/pamstack", tests: "TestLoad|TestGolden",
	},
	{
		name: "instance parent: root's", holds: "I-3", file: "internal/core/plan/parent.go",
		check: "case d.Owner.UID != 0:\n\t\treturn bad(\"owned by uid %d, want root:", instead: "case false:\n\t\treturn bad(\"owned by uid %d, want root:",
		tests: "TestRefusals|TestAttackers/instance_parent_in_\\$HOME",
	},
	{
		name: "instance parent: closed to all", holds: "I-3", file: "internal/core/plan/parent.go",
		check: "case d.Owner.Mode != rule.Config.ParentMode:", instead: "case false:",
		tests: "TestRefusals",
	},
	{
		name: "instance parent: no command closes an instance", holds: "I-3", file: "internal/core/plan/advice.go",
		check: "case instance:", instead: "case false:",
		tests: "TestParentThatIsAnInstance",
	},
	{
		name: "instance: who can do less in it is told", holds: "I-5", file: "internal/core/plan/instance.go",
		check: "if closed(s, step.Owner, d.Owner) {", instead: "if false {",
		tests: "TestClosedInstance",
	},
	{
		name: "instance: the polydir's owner", holds: "I-5", file: "internal/core/plan/instance.go",
		check: "case d.Owner.UID != step.Owner.UID:", instead: "case false:",
		tests: "TestRefusals|TestRepair",
	},
	{
		name: "accounts: a source that is down is no answer", holds: "I-13", file: "internal/kernel/nss/nss.go",
		check: "\tif askErr != nil {\n\t\treturn e, askErr", instead: "\tif false {\n\t\treturn e, askErr",
		tests: "TestDirectoryDown|TestDirectoryOfSSSD",
	},
	{
		name: "memberships: every source has answered", holds: "I-13", file: "internal/kernel/nss/nss.go",
		check: "if a.Status != Success && a.Status != NotFound && !a.Absent {", instead: "if false {",
		tests: "TestDirectoryDown|TestDirectoryOfSSSD",
	},
	{
		name: "memberships: what is not known is no answer", holds: "I-13", file: "internal/observe/account.go",
		check: "case err != nil:\n\t\t\ts.Groups[name] = plan.Unknown", instead: "case false:\n\t\t\ts.Groups[name] = plan.Unknown",
		tests: "TestDirectoryDown",
	},
	{
		name: "orphans: an absent module is no answer", holds: "I-10", file: "internal/kernel/nss/nss.go",
		check: "(strict || !a.Absent)", instead: "!a.Absent",
		pkg: "internal/kernel/nss", tests: "TestFound",
	},
	{
		name: "orphans: nsswitch.conf names the sources", holds: "I-10", file: "internal/kernel/nss/nss.go",
		check: "if all && (len(list) == 0 || !written(database)) {", instead: "if false {",
		tests: "TestOrphansWhileTheDirectoryIsDown",
	},
	{
		name: "orphans: all sources are asked", holds: "I-10", file: "internal/kernel/nss/nss.go",
		check: "if s.ends[a.Status] && !all {", instead: "if s.ends[a.Status] {",
		tests: "TestOrphansWhileTheDirectoryIsDown",
	},
	{
		name: "orphans: none while a source is down", holds: "I-10", file: "internal/gc/orphan.go",
		check: "return fmt.Errorf(\"no instance is taken for an orphan: %w\", err)", instead: "return nil",
		tests: "TestOrphansWhileTheDirectoryIsDown",
	},
	{
		name: "orphans: by name, too", holds: "I-10", file: "internal/gc/orphan.go",
		check: "case called != \"\":\n", instead: "case false:\n",
		tests: "TestOrphans",
	},
	{
		name: "orphans: an account may have the name of what is set aside", holds: "I-10", file: "internal/gc/orphan.go",
		check: "case called == \"\" && isAside(name, uid):", instead: "case isAside(name, uid):",
		tests: "TestAsideIsRemovedInTime",
	},
	{
		name: "orphans: not by a reused uid", holds: "I-10", file: "internal/gc/orphan.go",
		check: "if c.Reused && account.reused != \"\" {", instead: "if account.reused != \"\" {",
		tests: "TestOrphans",
	},
	{
		name: "orphans: only old ones", holds: "I-10", file: "internal/gc/orphan.go",
		check: "case age < c.OrphanedFor:", instead: "case false:",
		tests: "TestOrphans",
	},
	{
		name: "orphans: not many at once", holds: "I-10", file: "internal/gc/orphan.go",
		check: "if n := len(gone); !c.Many &&", instead: "if n := len(gone); false &&",
		tests: "TestOrphansManyAtOnce",
	},
	{
		name: "orphans: nobody has opened it since", holds: "I-10", file: "internal/gc/orphan.go",
		check: "|| lock.UID != f.uid || lock.LastOpen.Unix() != f.opened {", instead: "{",
		tests: "TestOrphanThatComesBack",
	},
	{
		name: "move: made for this uid", holds: "I-10", file: "internal/gc/move.go",
		check: "if !m.AnyUID && h.mode == instance.OfOne && h.uid != m.UID {", instead: "if false {",
		tests: "TestRename",
	},
	{
		name: "move: no session uses it", holds: "I-10", file: "internal/gc/move.go",
		check: "case live.InUse:\n\t\treturn fmt.Errorf(\"%s: a session uses it", instead: "case live.Answer(99):\n\t\treturn fmt.Errorf(\"%s: a session uses it",
		tests: "TestNothingMovesUnderASession",
	},
	{
		name: "move: the lock of the old name ends", holds: "I-10", file: "internal/gc/move.go",
		check: "return h.old.ForgetCopied()", instead: "return nil",
		tests: "TestRename|TestAsideWhileASessionOpens",
	},
	{
		name: "repair: whose it was is said", holds: "I-5", file: "cmd/polyinst/repair.go",
		check: "case fromUID == 0:", instead: "case false:",
		tests: "TestChangedUID",
	},
	{
		name: "repair: only what was that uid's", holds: "I-5", file: "internal/kernel/dirfd/give.go",
		check: "if err != nil || st.UID != g.from {", instead: "if err != nil || st.UID == g.to {",
		tests: "TestChangedUID",
	},
	{
		name: "instance: made for this uid", holds: "I-5", file: "internal/core/plan/instance.go",
		check: "if f.Recorded && f.RecordedUID != s.UID && !step.Shared {", instead: "if false {",
		pkg: "internal/core/plan", tests: "Test.*",
	},
	{
		name: "instance: on the parent's own mount", holds: "I-3", file: "internal/kernel/dirfd/dirfd.go",
		check: "fd, err := d.open(name, unix.O_PATH, unix.RESOLVE_NO_XDEV, 0)", instead: "fd, err := d.open(name, unix.O_PATH, 0, 0)",
		tests: "TestRefusals",
	},
	{
		name: "lock: not one that gc has removed", holds: "I-10", file: "internal/instance/opening.go",
		check: "return o.said.Nlink > 0, err", instead: "return o.said.Nlink > 0 || true, err",
		tests: "TestLoginBehindGc",
	},
	{
		name: "lock: born with its owner", holds: "I-5", file: "internal/instance/opening.go",
		check: "if o.Temporary != \"\" && !o.Unseen {\n\t\towner, mode := o.claim()", instead: "if false {\n\t\towner, mode := o.claim()",
		tests: "TestNobodyWaitsForAStoppedSession",
	},
	{
		name: "lock: one that says for whom it is is nobody else's", holds: "I-5", file: "internal/apply/instance.go",
		check: "if !tmpdir && (!staged.Claimed() ||", instead: "if !tmpdir && (false ||",
		pkg: "internal/apply", tests: "Test.*",
	},
	{
		name: "lock: another session is waited for with an end", holds: "I-18", file: "internal/kernel/dirfd/lock.go",
		check: "if free || err != nil || left <= 0 {", instead: "if free || err != nil {",
		tests: "TestStoppedFirstInit|TestNobodyWaitsForAStoppedInit",
	},
	{
		name: "init: its turn is no gate", holds: "I-18", file: "internal/instance/opening.go",
		check: "o.turn.LockBy(dirfd.Exclusive, o.Waits.Turn)", instead: "o.turn.LockBy(dirfd.Exclusive, o.Waits.Lock.Add(1e12))",
		tests: "TestNobodyWaitsForAStoppedInit",
	},
	{
		name: "init: others have finished the instance meanwhile", holds: "I-5", file: "internal/instance/opening.go",
		check: "if dirfd.IsExist(err) {\n\t\treturn ErrReplaced", instead: "if false {\n\t\treturn ErrReplaced",
		pkg: "internal/apply", tests: "Test.*",
	},
	{
		name: "round: no rule is passed over that changed twice", holds: "I-7", file: "internal/promise/rules.go",
		check: "case refusal.Again && !last:", instead: "case refusal.Again:",
		pkg: "internal/promise", tests: "TestRoundOnceMore",
	},
	{
		name: "host: what two workers say is said once", holds: "I-20", file: "internal/session/session.go",
		check: "|| b.apart && p != wire.Debug", instead: "",
		pkg: "internal/session", tests: "TestDeclinesUnsaid",
	},
	{
		name: "host: nothing is sent to it while others wait", holds: "I-18", file: "internal/session/session.go",
		check: "if b.holding ||", instead: "if",
		tests: "TestNobodyWaitsForAStoppedHost",
	},
	{
		name: "scope user: the turn is no gate", holds: "I-18", file: "internal/session/share.go",
		check: "c.turn, err = c.store.Turn(c.Who.UID, c.patient)", instead: "c.turn, err = c.store.Turn(c.Who.UID, c.until.Add(1e12))",
		tests: "TestNobodyWaitsForAStoppedTurn",
	},
	{
		name: "quota: a project is claimed once", holds: "I-17", file: "internal/instance/project.go",
		check: "if dirfd.IsExist(err) {\n\t\t\tcontinue", instead: "if dirfd.IsExist(err) {\n\t\t\terr = nil",
		pkg: "internal/instance", tests: "Test.*",
	},
	{
		name: "polyinst edit: a lock that no user can open", holds: "I-18", file: "cmd/polyinst/stackfile.go",
		check: "way, err := dirfd.WalkTo(\"/run\")", instead: "way, err := dirfd.WalkTo(observe.ConfigDir)",
		tests: "TestEditWhileAUserHoldsALock",
	},
	{
		name: "namespace: cut off from the host's", holds: "I-6", file: "internal/apply/enter.go",
		check: "if err := mntns.Propagate(mntns.Slave); err != nil || !cut.below {", instead: "if !cut.below {",
		tests: "TestPropagation|TestAttackers/public_directory",
	},
	{
		name: "namespace: cut off before it is shared below", holds: "I-6", file: "internal/apply/enter.go",
		check: "if err := mntns.Propagate(mntns.Slave); err != nil || !cut.below {", instead: "if cut.below {\n\t\treturn mntns.Propagate(mntns.Shared)\n\t}\n\tif err := mntns.Propagate(mntns.Slave); err != nil || !cut.below {",
		tests: "TestMountsReachNamespacesBelow",
	},
	{
		name: "namespace: the instance's mount leaves its peers", holds: "I-6", file: "internal/kernel/mountfd/mountfd.go",
		check: "return m.setAttr(flags, unix.MS_PRIVATE, 0)", instead: "return m.setAttr(flags, 0, 0)",
		tests: "TestMountsReachNamespacesBelow|TestMountsInAnInstanceStayThere",
	},
	{
		name: "view: peer groups are compared with the host's", holds: "I-7", file: "internal/apply/enter.go",
		check: "if others, err := cut.others.Has(group); err != nil || others {", instead: "if others, err := false, error(nil); others {",
		tests: "TestProofOfPeerGroups",
	},
	{
		name: "view: what reaches below is seen to be shared", holds: "I-7", file: "internal/apply/enter.go",
		check: "case cut.below && group == 0:", instead: "case false:",
		tests: "TestProofOfPeerGroups",
	},
	{
		name: "overlay: the layers are those that were told", holds: "I-7", file: "internal/kernel/mountfd/overlay.go",
		check: "if !seen[want] && (value", instead: "if false && (value",
		tests: "TestOverlayIsProved",
	},
	{
		name: "overlay: it is no other than was made", holds: "I-7", file: "internal/apply/enter.go",
		check: "if err := s.over.Check(way.Dir); err != nil {", instead: "if false {",
		tests: "TestOverlayIsProved",
	},
	{
		name: "overlay: kept changes are in one mount at a time", holds: "I-10", file: "internal/kernel/mountfd/overlay.go",
		check: "options[3].Value = \"on\"", instead: "_ = options",
		tests: "TestOverlayHasItsChangesAlone|TestOverlayIsRefusedByTheKernel",
	},
	{
		name: "overlay: it can be written to", holds: "I-23", file: "internal/kernel/mountfd/overlay.go",
		check: "err != nil || flags&ReadOnly != 0 {", instead: "err != nil || flags&0 != 0 {",
		tests: "TestOverlayOnAFullDisk",
	},
	{
		name: "overlay: the instance is mounted beneath it", holds: "I-10", file: "internal/apply/overlay.go",
		check: "[]mountfd.Mount{s.mark, s.under} {", instead: "[]mountfd.Mount{s.mark} {",
		tests: "TestGcLeavesOverlaysAlone|TestOverlayAndTheTools",
	},
	{
		name: "overlay: a sandbox that shows it alone uses it", holds: "I-10", file: "internal/gc/room.go",
		check: "answer == live.Free {", instead: "false {",
		tests: "TestGcLeavesOverlaysAlone",
	},
	{
		name: "overlay: the kernel is asked who has the changes", holds: "I-10", file: "internal/gc/remove.go",
		check: "if used, err := layersInUse(x.parent, x.name); err != nil || used {", instead: "if used, err := false, error(nil); used {",
		tests: "TestGcLeavesOverlaysAlone",
	},
	{
		name: "overlay: the layers lie in a place of root's alone", holds: "I-7", file: "internal/core/plan/instance.go",
		check: "case step.Overlay != nil && d.Owner != step.Owner:", instead: "case false:",
		tests: "TestOverlayIsRefused",
	},
	{
		name: "overlay: a layer is a directory", holds: "I-3", file: "internal/instance/layers.go",
		check: "if err == nil {\n\t\t\terr = isDirectory(d.Path(), st)", instead: "if false {\n\t\t\terr = isDirectory(d.Path(), st)",
		tests: "TestOverlayIsRefusedByTheKernel",
	},
	{
		name: "overlay: files of its changes are not aged", holds: "I-10", file: "internal/gc/age.go",
		check: "if instance.HoldsLayers(dir) {", instead: "if false {",
		tests: "TestOverlayAndTheTools",
	},
	{
		name: "overlay: repair opens the changes, not what they lie in", holds: "I-7", file: "internal/apply/prepare.go",
		check: "if rule.Config.Method == config.MethodOverlay {", instead: "if false {",
		tests: "TestOverlayAndTheTools",
	},
	{
		name: "netns: what is joined is a network namespace", holds: "I-11", file: "internal/kernel/mntns/named.go",
		check: "if err != nil || kind != unix.CLONE_NEWNET {", instead: "if err != nil || kind == 0 {",
		tests: "TestNamedNetworkIsRefused",
	},
	{
		name: "netns: it is root's", holds: "I-11", file: "internal/kernel/mntns/named.go",
		check: "if same, err := n.SameUserNamespace(); err != nil || !same {", instead: "if same, err := n.SameUserNamespace(); err != nil && !same {",
		tests: "TestNamedNetworkIsRefused",
	},
	{
		name: "netns: it is none of nsfs", holds: "I-11", file: "internal/kernel/mntns/named.go",
		check: "err != nil || magic != nsfsMagic {", instead: "err != nil || magic == 0 {",
		tests: "TestNamedNetworkIsRefused",
	},
	{
		name: "netns: the way to it is root's", holds: "I-11", file: "internal/kernel/mntns/named.go",
		check: "if err := dirfd.Trusted(way, way.Stat); err != nil {", instead: "if err := dirfd.Trusted(way, way.Stat); false {",
		tests: "TestNamedNetworkIsRefused",
	},
	{
		name: "netns: it is not the host's", holds: "I-11", file: "internal/kernel/mntns/named.go",
		check: "err == nil && hosts == n.ID {", instead: "err == nil && hosts == 0 {",
		tests: "TestNamedNetworkIsRefused",
	},
	{
		name: "netns: the session is seen to be in it", holds: "I-11", file: "internal/kernel/mntns/named.go",
		check: "if err == nil && id != n.ID {", instead: "if err == nil && false {",
		tests: "TestNamedNetworkThatLies",
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
		check: "case !stand.Any && way.Stat.ID != c.id:", instead: "case false:",
		tests: "TestNestedWorkingDirectory|TestRootWorksInTheDirectoryThatItNames",
	},
	{
		name: "working directory: never the public one", holds: "I-8", file: "internal/core/plan/stand.go",
		check: "stands := []Stand{{l.Path, false}}", instead: "stands := []Stand{{l.Path, l.cover().Path == l.Path}}",
		pkg: "internal/core/plan", tests: "Test.*",
	},
	{
		name: "working directory: root's alone by the host path", holds: "I-8", file: "internal/core/plan/stand.go",
		check: "c.Instance != \"\" && l.UID == 0", instead: "c.Instance != \"\"",
		tests: "TestNestedWorkingDirectory",
	},
	{
		name: "working directory: nobody else's instance by its host path", holds: "I-8", file: "internal/core/plan/stand.go",
		check: "case l.UID != 0 && slices.ContainsFunc(l.Parents, within):", instead: "case false && slices.ContainsFunc(l.Parents, within):",
		tests: "TestNobodyStandsInAnothersInstance",
	},
	{
		name: "working directory: an empty one that nobody can write", holds: "I-8", file: "internal/sessions/record/empty.go",
		check: "st.UID != 0 || st.Mode != mode:", instead: "st.UID != 0:",
		tests: "TestWhereThereIsNoEmptyDirectory",
	},
	{
		name: "working directory: looked for when nobody waits", holds: "I-8", file: "internal/session/build.go",
		check: "if err := b.letOthersJoin(b.rec.Identity); err != nil {", instead: "_, _ = b.stand(b.own())\n\tif err := b.letOthersJoin(b.rec.Identity); err != nil {",
		tests: "TestWorkingDirectoryThatHangs",
	},
	{
		name: "working directory: not / where it gets lost", holds: "I-8", file: "pam_polyinst/view.c",
		check: "if (a->cwd < 0)", instead: "if (0)",
		tests: "TestWorkingDirectoryThatGetsLost",
	},
	{
		name: "record: of this very namespace", holds: "I-11", file: "internal/kernel/mntns/identity.go",
		check: "return i.Ever == other.Ever, true", instead: "return true, true",
		tests: "TestStaleRecordIsNotBelieved",
	},
	{
		name: "record: of this very namespace, by the mount of its root", holds: "I-11", file: "internal/kernel/mntns/identity.go",
		check: "return i.Root == other.Root && i.Unique == other.Unique, i.Unique", instead: "return true, i.Unique",
		pkg: "internal/kernel/mntns", tests: "Test.*",
	},
	{
		name: "record: a namespace that may not be asked has not ended", holds: "I-11", file: "internal/kernel/mntns/identity.go",
		check: "case errors.Is(err, unix.ENOENT) && mayAsk():", instead: "case errors.Is(err, unix.ENOENT):",
		pkg: "internal/kernel/mntns", tests: "Test.*",
	},
	{
		name: "records: a user's turn is one's alone", holds: "Locks", file: "internal/sessions/record/user.go",
		check: "mine, err := u.lock.LockBy(dirfd.Exclusive, until)", instead: "mine := true",
		pkg: "internal/sessions/record", tests: "Test.*",
	},
	{
		name: "records: one that is being written is not tidied away", holds: "Locks", file: "internal/kernel/dirfd/write.go",
		check: "free, err := f.TryLock(Exclusive)\n\tif err != nil || !free {\n\t\treturn err\n\t}", instead: "",
		pkg: "internal/sessions/record", tests: "Test.*",
	},
	{
		name: "records: those of ended namespaces go", holds: "Locks", file: "internal/session/record.go",
		check: "store.ForgetEnded(endedAtOnce, false)", instead: "",
		tests: "TestRecordsDoNotPileUp",
	},
	{
		name: "rescue: not from a full /run", holds: "I-15", file: "internal/session/place.go",
		check: "return hostFault(fmt.Errorf(\"the records of sessions: %w\", err))\n}", instead: "r := hostFault(fmt.Errorf(\"the records of sessions: %w\", err))\n\tr.Fault = plan.FaultHost\n\treturn r\n}",
		tests: "TestFullRunRescuesNobody",
	},
	{
		name: "scope user: built on the same view, not on one of its number", holds: "I-11", file: "internal/session/share.go",
		check: "base.NS, base.Root, base.Ever)", instead: "base.NS, 0, 0)",
		pkg: "internal/session", tests: "Test.*",
	},
	{
		name: "enter: no user namespace but ours", holds: "I-11", file: "internal/kernel/mntns/mntns.go",
		check: "return theirs.Ino == ours.Ino && theirs.Dev == ours.Dev, nil", instead: "return true, nil",
		tests: "TestEnterFollowsNobodyIntoHisUserNamespace",
	},
	{
		name: "enter: the view is what was recorded", holds: "I-11", file: "cmd/polyinst/enter.go",
		check: "if err := r.VerifyInside(outside); err != nil {", instead: "if err := r.VerifyInside(outside); false && err != nil {",
		tests: "TestEnterVerifies",
	},
	{
		name: "view already: by the very mounts", holds: "I-11", file: "internal/sessions/record/record.go",
		check: "return !byMount || way.Stat.MountID == p.MountID", instead: "return true || way.Stat.MountID == p.MountID",
		tests: "TestViewThatWasTakenApart|TestSharedThatWasTakenApart",
	},
	{
		name: "gc: what a live namespace shows stays", holds: "I-10", file: "internal/gc/remove.go",
		check: "case live.InUse:", instead: "case -1:",
		tests: "TestGcTakesOnlyItsOwn|TestAttackers/instance_that_is_removed",
	},
	{
		name: "gc: what it cannot tell stays", holds: "I-10", file: "internal/sessions/live/uses.go",
		check: "if (d.device == 0 || d.device == p.Dev) && (d.everybody", instead: "if false && (d.everybody",
		pkg: "internal/sessions/live", tests: "Test.*",
	},
	{
		name: "gc: what was mounted since it looked", holds: "I-10", file: "internal/sessions/live/uses.go",
		check: "return u.look(max(u.newest, u.Newer))", instead: "return nil",
		pkg: "internal/sessions/live", tests: "Test.*",
	},
	{
		name: "gc: one candidate is held at a time", holds: "I-10", file: "internal/gc/gc.go",
		check: "\t\tg.Release()\n\t\tif location ==", instead: "\t\tif location ==",
		tests: "TestGcThatIsStoppedHoldsOneAtMost",
	},
	{
		name: "in use: by the whole path, not by a name", holds: "I-10", file: "internal/sessions/live/uses.go",
		check:   "if used, asked := u.wanted[p]; asked && !used {\n\t\t\tu.wanted[p] = true\n\t\t}",
		instead: "for w := range u.wanted {\n\t\t\tif i := strings.LastIndexByte(w.Path, '/'); strings.HasSuffix(p.Path, w.Path[i:]) {\n\t\t\t\tu.wanted[w] = true\n\t\t\t}\n\t\t}",
		tests:   "TestNameAloneIsNoUse",
	},
	{
		name: "in use: what lies below it as well", holds: "I-10", file: "internal/sessions/live/uses.go",
		check: "if i < 0 || p.Path == \"/\" {", instead: "if i >= 0 {",
		pkg: "internal/sessions/live", tests: "Test.*",
	},
	{
		name: "mounts: a user's are read within bounds", holds: "I-10", file: "internal/kernel/mntns/walk.go",
		check: "if looked == limit {", instead: "if false {",
		pkg: "internal/sessions/live", tests: "Test.*",
	},
	{
		name: "mountinfo: read within bounds", holds: "I-10", file: "internal/kernel/mountinfo/mountinfo.go",
		check: "if total += n; total > linesMax {", instead: "if total += n; total > 8*linesMax {",
		pkg: "internal/kernel/mountinfo", tests: "Test.*",
	},
	{
		name: "gc: a clone's tmpdirs on a network filesystem", holds: "I-10", file: "internal/gc/judge.go",
		check: "if parts[1] != c.machine.BootID && observe.MayBeShared(parent) {", instead: "if false && observe.MayBeShared(parent) {",
		tests: "TestNetworkFS",
	},
	{
		name: "tasks: each is looked at when the kernel tells it", holds: "I-10", file: "internal/sessions/live/tasks.go",
		check: "\tend := proc.EachName(other, func(name string) bool {", instead: "\tall, end := proc.Names()\n\tfor _, name := range all {\n\t\tif pid, bad := strconv.Atoi(name); bad == nil && err == nil && more {\n\t\t\tmore, err = each(proc, pid, f)\n\t\t}\n\t}\n\t_, _ = other, (func(name string) bool {",
		tests: "TestCometIsNotMissed|TestOlderKernel",
	},
	{
		name: "tasks: one that cannot be asked is entered, not read by a task's eyes", holds: "I-10", file: "internal/kernel/mntns/mntns.go",
		check: "err = mountinfo.EachAt(proc, \"mountinfo\", f)\n\tback := own.Enter()", instead: "back := own.Enter()\n\terr = mountinfo.EachAt(proc, \"mountinfo\", f)",
		tests: "TestOlderKernel",
	},
	{
		name: "tasks: those of a process with several threads", holds: "I-10", file: "internal/kernel/mntns/mntns.go",
		check: "st.Nlink == 3", instead: "st.Nlink >= 3",
		pkg: "internal/sessions/live", tests: "Test.*",
	},
	{
		name: "in use: a copy that is made behind the walk", holds: "I-10", file: "internal/sessions/live/uses.go",
		check: "if mntns.NumberedByProcessor() {", instead: "if false {",
		pkg: "internal/sessions/live", tests: "Test.*",
	},
	{
		name: "close: in haste it ends", holds: "I-10", file: "internal/sessions/live/uses.go",
		check: "if !u.Hasty || u.visited < namespacesInHaste && u.total < foreignInHaste {", instead: "if true {",
		pkg: "internal/sessions/live", tests: "Test.*",
	},
	{
		name: "close: nobody is left in the namespace", holds: "I-10", file: "internal/gc/room.go",
		check: "return t.NS == ns && t.PID != host", instead: "return false && t.PID != host",
		tests: "TestTmpdirOfALeftProcess",
	},
	{
		name: "close: another namespace may show it", holds: "I-10", file: "internal/session/close.go",
		check: "case live.InDoubt:", instead: "case -1:",
		tests: "TestMountBomb",
	},
	{
		name: "removal: by handle, following no link", holds: "I-10", file: "internal/kernel/dirfd/tree.go",
		check:   "fd, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, unix.RESOLVE_NO_XDEV, 0)",
		instead: "fd, err := unix.Openat(d.FD(), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)",
		tests:   "TestRemovalWhileNamesAreSwapped|TestAttackers/instance_that_is_removed",
	},
	{
		name: "removal: ends where a directory stays", holds: "The command", file: "internal/kernel/dirfd/tree.go",
		check: "err2 != nil || st.ID == r.left", instead: "err2 != nil || st.ID == (ID{})",
		pkg: "internal/kernel/dirfd", tests: "TestRemoveTreeWithoutRmdir",
	},
	{
		name: "files: by the handle, not by the name", holds: "I-3", file: "internal/kernel/dirfd/file.go",
		check: "unix.Open(fmt.Sprintf(\"/proc/self/fd/%d\", d.FD()),", instead: "unix.Open(d.path,",
		pkg: "internal/kernel/dirfd", tests: "TestAsFile",
	},
	{
		name: "log: no more of the journal is read than a bound", holds: "the command", file: "cmd/polyinst/sessionlog.go",
		check: "N: most.bytes}", instead: "N: most.bytes << 20}",
		pkg: "cmd/polyinst", tests: "TestFloodedJournal",
	},
	{
		name: "refusal: sudo does not go on after it", holds: "I-12", file: "internal/kernel/wire/wire.go",
		check: "Refused Code = 6", instead: "Refused Code = 14",
		tests: "TestSudoIsRefused",
	},
	{
		name: "removal: what is made meanwhile is left", holds: "The command", file: "internal/kernel/dirfd/tree.go",
		check: "known && made.After(r.began)", instead: "false && known && made.After(r.began)",
		pkg: "internal/kernel/dirfd", tests: "TestRemoveTreeLeavesTheYounger",
	},
	{
		name: "log: a user's text makes no line of its own", holds: "I-14", file: "internal/kernel/wire/wire.go",
		check: "if r < 0x20 || r == 0x7f ||", instead: "if r == 0x7f ||",
		pkg: "internal/kernel/wire", tests: "Test.*|Fuzz.*",
	},
	{
		name: "exempt: by the lists, whatever the service", holds: "I-13", file: "internal/core/plan/select.go",
		check: "case v.Applies:\n\t\tv.Service", instead: "case true:\n\t\tv.Service",
		pkg: "internal/core/plan", tests: "Test.*",
	},
	{
		name: "rescue: not from one's own doing", holds: "I-15", file: "internal/core/plan/rescue.go",
		check: "case r.Fault == FaultUser || r.Unknown:", instead: "case r.Unknown:",
		pkg: "internal/core/plan", tests: "Test.*",
	},
	{
		name: "rescue: not where a level is enforced, nor where directories are required", holds: "I-15", file: "internal/core/plan/rescue.go",
		check: "return x.Required || sec.Enforcing && byContext", instead: "return false",
		pkg: "internal/core/plan", tests: "Test.*",
	},
	{
		name: "rescue: by a [namespace] table without problems alone", holds: "I-15", file: "internal/core/config/rescue.go",
		check: "if len(f.problems) > 0 {", instead: "if false {",
		pkg: "internal/core/config", tests: "Test.*",
	},
	{
		name: "rescue: not by a table that may go on behind a mistake", holds: "I-15", file: "internal/core/config/rescue.go",
		check: "if namesNamespace(l.text[start:]) {", instead: "if false {",
		pkg: "internal/core/config", tests: "Test.*",
	},
	{
		name: "last good configuration: one for each main file", holds: "I-15", file: "internal/observe/lastgood.go",
		check: "return \"last-good-\" + digest(main)[:16] + \".json\"", instead: "return \"last-good-\" + digest(\"\")[:16] + \".json\"",
		tests: "TestLastGood.*",
	},
	{
		name: "last good configuration: of this very main file", holds: "I-15", file: "internal/observe/lastgood.go",
		check: "|| err == nil && files.Main.Name != main {", instead: "{",
		tests: "TestLastGood.*",
	},
	{
		name: "only: a missing group widens no rule to root", holds: "I-13", file: "internal/core/plan/select.go",
		check: "return !repairs(s, rescue), why, nil", instead: "return true, why, nil",
		pkg: "internal/core/plan", tests: "Test.*",
	},
	{
		name: "only: a configuration with a missing group is not accepted", holds: "I-13", file: "cmd/polyinst/check.go",
		check: "if o.accept && !faulty(x.remarks) {", instead: "if o.accept {",
		tests: "TestMistypedGroup.*",
	},
	{
		name: "configuration: without a polydir it is none", holds: "I-13", file: "internal/core/config/parse.go",
		check: "if len(problems) == 0 && len(c.Polydirs) == 0 && !c.Namespace.NoPolydirs {", instead: "if false {",
		pkg: "internal/core/config", tests: "Test.*",
	},
	{
		name: "require=: who does not get it is refused", holds: "I-13", file: "internal/promise/promise.go",
		check: "p.Nested(), false); r != nil {", instead: "p.Nested(), false); false {",
		tests: "TestRequire.*",
	},
	{
		name: "require=: also who leaves for the host's view", holds: "I-13", file: "internal/core/plan/route.go",
		check: "return route, w.Selection.Required(w.Require, w.Who, w.Nested, true)", instead: "return route, nil",
		tests: "TestRequire.*",
	},
	{
		name: "configuration: root's alone", holds: "I-3", file: "internal/kernel/dirfd/trust.go",
		check: "case st.Mode&0o022 != 0:", instead: "case false:",
		tests: "TestRefusals",
	},
	{
		name: "init script: judged where it runs", holds: "I-7", file: "internal/apply/enter.go",
		check: "path, err := script.Check(i.Path)\n\tif err != nil {", instead: "path, err := script.Check(i.Path)\n\tif path = i.Path; false {",
		tests: "TestInitIsJudgedWhereItRuns",
	},
	{
		name: "close line: other modules close where they opened", holds: "Other modules of the stack", file: "pam_polyinst/view.c",
		check: "if (k->session.ns < 0 || go_to(call, &k->before) < 0) {", instead: "if (k->session.ns < 0) {",
		tests: "TestCloseLine|TestPamMountBeforeUs",
	},
	{
		name: "close line: the session's view is entered again", holds: "Other modules of the stack", file: "pam_polyinst/view.c",
		check: "if (go_to(call, &k->session) < 0)", instead: "if (false)",
		tests: "TestCloseLine",
	},
	{
		name: "close: a thread goes back to where it stood", holds: "Several sessions", file: "pam_polyinst/view.c",
		check: `open("/proc/thread-self/ns/mnt"`, instead: `open("/proc/self/ns/mnt"`,
		tests: "TestSeveralThreadsGoBack",
	},
	{
		name: "worker: nothing of the host's stays open", holds: "I-2", file: "pam_polyinst/worker.c",
		check: "syscall(SYS_close_range, way < 0 ? 4U : 5U, ~0U, 0U);", instead: "",
		tests: "TestWorkerHoldsNothingOfTheHosts",
	},
	{
		name: "host: takes a dead worker's mounts off", holds: "I-9", file: "pam_polyinst/view.c",
		check: "umount2(path, MNT_DETACH);", instead: ";",
		tests: "TestWorkerKilledInPlace",
	},
	{
		name: "host: success is what the worker says", holds: "I-12", file: "pam_polyinst/host.c",
		check: "if (!a->reported)\n\t\treturn no_answer(call, a->why);", instead: "if (0)\n\t\treturn no_answer(call, a->why);",
		tests: "TestKilledInTheMiddle",
	},
	{
		name: "advice: no directory that serves others is closed", holds: "advice does no harm", file: "internal/core/plan/advice.go",
		check: "case servesOthers(parent, home):", instead: "case false:",
		pkg: "internal/core/plan", tests: "Test.*",
	},
	{
		name: "what a command prints is not lost in silence", holds: "standard output", file: "cmd/polyinst/output.go",
		check: "err := o.err\n", instead: "err := error(nil)\n",
		tests: "TestStandardOutputIsFull",
	},
	{
		name: "try: a terminal of its own", holds: "The command", file: "cmd/polyinst/internal/program/streams.go",
		check: "s.theirs[0], s.theirs[1] = pty.Slave, pty.Slave", instead: "s.theirs[0], s.theirs[1] = os.Stdin, os.Stdout",
		tests: "TestTryKeepsRootsTerminal",
	},
	{
		name: "try: no descriptor of root's", holds: "The command", file: "cmd/polyinst/internal/program/program.go",
		check: "if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {", instead: "if false {\n\t\tvar err error\n\t\t_ = math.MaxUint32",
		tests: "TestTryKeepsRootsTerminal",
	},
	{
		name: "try: no key of root's", holds: "The command", file: "cmd/polyinst/internal/program/program.go",
		check: "if err := script.OwnKeyring(); err != nil {", instead: "_ = script.OwnKeyring\n\tif err := error(nil); err != nil {",
		tests: "TestTryKeepsRootsKeys",
	},
	{
		name: "init: no keyring of the caller's", holds: "I-7", file: "internal/kernel/script/start.go",
		check: "if err := OwnKeyring(); err != nil {", instead: "if err := error(nil); err != nil {",
		tests: "TestInitHasItsOwnKeys",
	},
	{
		name: "homes: no command is advised that goes by name", holds: "The command", file: "internal/core/plan/advice.go",
		check: "case movable:\n\t\treturn LookAndMove", instead: "case movable && false:\n\t\treturn LookAndMove",
		tests: "TestAdviceAboutHomesHarmsNobody",
	},
	{
		name: "homes: a user's fault is not root's", holds: "The command", file: "internal/observe/parent.go",
		check: "if err != nil && theirs {", instead: "if false {",
		tests: "TestParentsThatUsersSpoil",
	},
	{
		name: "homes: a parent is judged before it is read", holds: "The command", file: "internal/observe/parent.go",
		check: "if dirfd.TrustedFile(path, way.Stat) != nil {", instead: "if false {",
		tests: "TestParentsThatUsersSpoil",
	},
	{
		name: "age: no socket or directory of a live session", holds: "The command", file: "internal/gc/age.go",
		check: "if i.State == InUse {\n\t\treturn false\n\t}", instead: "",
		tests: "TestGcAgesFiles",
	},
	{
		name: "age: nobody came since", holds: "The command", file: "internal/gc/age.go",
		check: "if !known || !lock.LastOpen.Before(began.Add(-tick)) {", instead: "if _ = lock; !known || tick == 0 {",
		tests: "TestGcAgesFiles",
	},
	{
		name: "age: directories of root's stay", holds: "The command", file: "internal/kernel/dirfd/age.go",
		check: "if g.old(x) && x.Uid != 0 {", instead: "if g.old(x) {",
		tests: "TestGcAgesFiles",
	},
	{
		name: "host: does nothing that it does not know", holds: "I-12", file: "pam_polyinst/host.c",
		check: "return EBADMSG;", instead: "return 0;",
		pkg: "tests/edge", tests: "TestHostSideIsFuzzed|TestValgrind$",
	},
	{
		name: "the question: parsed strictly", holds: "I-13", file: "internal/kernel/wire/request.go",
		check: "return n, err == nil && n <= most && strconv.FormatUint(n, 10) == text", instead: "return n, true || err == nil && n <= most",
		pkg: "internal/kernel/wire", tests: "Test.*",
	},
	{
		name: "root without an answer: only in the view of process 1", holds: "I-12", file: "pam_polyinst/host.c",
		check: "log in as root\" : away(call);", instead: "log in as root\" : NULL;",
		tests: "TestKilledWorkerAndRoot",
	},
	{
		name: "root without an answer: not where a user has started the host", holds: "I-12", file: "pam_polyinst/host.c",
		check: "against = getuid() != 0 ? \"a user", instead: "against = 0 ? \"a user",
		tests: "TestKilledWorkerAndRoot",
	},
	{
		name: "the view of process 1: its namespaces", holds: "I-12", file: "pam_polyinst/view.c",
		check: "if (strcmp(own, first) != 0)", instead: "if (0)",
		tests: "TestKilledWorkerAndRoot|TestRescueIsTheViewOfProcess1",
	},
	{
		name: "the view of process 1: its root directory", holds: "I-12", file: "pam_polyinst/view.c",
		check: "here.stx_mnt_id != there.stx_mnt_id || here.stx_ino != there.stx_ino", instead: "0",
		tests: "TestKilledWorkerAndRoot",
	},
	{
		name: "the view of process 1: on a /proc that is one", holds: "I-12", file: "pam_polyinst/view.c",
		check: "if (fs.f_type != PROC_SUPER_MAGIC)", instead: "if (0)",
		pkg: "tests/edge", tests: "TestHostSideIsFuzzed|TestValgrind",
	},
	{
		name: "the view of process 1: a denied look proves nothing to a user's program", holds: "I-12", file: "pam_polyinst/view.c",
		check: "may_be_denied = !user_started(call);", instead: "may_be_denied = true;",
		tests: "TestProcess1CannotBeLookedAt",
	},
	{
		name: "rescue: the host looks where it stands", holds: "I-15", file: "pam_polyinst/host.c",
		check: "a->against = away(call);", instead: "a->against = NULL;",
		tests: "TestRescueIsTheViewOfProcess1",
	},
	{
		name: "rescue: not from what cannot be looked at", holds: "I-15", file: "internal/core/plan/decide.go",
		check: "if r != nil && r.Fault != FaultUser && f.Short != FaultConfig {", instead: "if r != nil && f.Short > 99 {",
		tests: "TestRescueIsNotForWhatCannotBeLookedAt",
	},
	{
		name: "rescue: not from a configuration that cannot be read for want of something", holds: "I-15", file: "internal/promise/promise.go",
		check: "\tr := HostFault(err)\n\tif r.Fault == plan.FaultHost {", instead: "\tr := HostFault(err)\n\tif true {",
		tests: "TestRescueIsNotForWhatCannotBeLookedAt",
	},
	{
		name: "rescue: not for what anyone can bring about", holds: "I-15", file: "internal/core/plan/rescue.go",
		check: "case r.Fault == FaultAnyone && who.UID != 0:", instead: "case false:",
		tests: "TestRescueIsNotForWhatAnyoneCanDo",
	},
	{
		name: "rescue: full disks are anyone's doing, by su not even root's", holds: "I-15", file: "internal/promise/promise.go",
		check: "r.Fault == plan.FaultAnyone && p.question.HostUID != 0", instead: "false",
		tests: "TestRescueIsNotForWhatAnyoneCanDo",
	},
	{
		name: "nested: nobody is left in another user's instance", holds: "I-13", file: "internal/core/plan/route.go",
		check: "!covered && outer.UID != w.Who.UID", instead: "!covered && false",
		tests: "TestNestedInAContainer",
	},
	{
		name: "rescue: not by a selection that failed, where contexts count", holds: "I-15", file: "internal/promise/promise.go",
		check: "return p.Config.ByContext()", instead: "return false",
		pkg: "internal/promise", tests: "TestByContext",
	},
	{
		name: "nested: in its view already, if nobody has taken it apart", holds: "I-11", file: "internal/core/plan/route.go",
		check: "a.Digest == w.Digest && a.Intact", instead: "a.Digest == w.Digest",
		pkg: "internal/core/plan", tests: "TestChoose",
	},
	{
		name: "explain: promises no rescue inside of a session", holds: "I-15", file: "cmd/polyinst/explain.go",
		check: "return !x.away && x.Rescued(r)", instead: "return x.Rescued(r)",
		tests: "TestExplainAgrees",
	},
	{
		name: "explain: an init script is judged where it would run", holds: "the command", file: "cmd/polyinst/rehearsal.go",
		check: "script.CheckIn(step.Init.Path, h.View)", instead: "script.CheckIn(step.Init.Path, nil)",
		tests: "TestExplainAgrees",
	},
	{
		name: "explain: so is the script's interpreter", holds: "the command", file: "internal/kernel/script/script.go",
		check: "dirfd.WalkFileIn(path, view)\n\tif err == nil && there.Missing", instead: "dirfd.WalkFileIn(path, nil)\n\tif err == nil && there.Missing",
		tests: "TestExplainAgrees",
	},
	{
		name: "explain: what libpam refuses is refused", holds: "the command", file: "cmd/polyinst/explain.go",
		check: "case len(x.loaded.Refused) > 0:\n\t\tx.Refusals", instead: "case false:\n\t\tx.Refusals",
		tests: "TestMistypedPAMLine|TestModuleThatIsNotWhole",
	},
	{
		name: "explain: what a user mounted is theirs to see", holds: "the command", file: "internal/promise/rules.go",
		check: "if r.Own != r.Subject.UID && dirfd.IsMountOf", instead: "if false && dirfd.IsMountOf",
		tests: "TestPolydirOnAUsersFilesystem",
	},
	{
		name: "explain: a turn that nobody can have", holds: "the command", file: "internal/promise/rules.go",
		check: "if n.Scope != config.ScopeUser {", instead: "if true {",
		tests: "TestToolsAgreeWithTheLogin",
	},
	{
		name: "explain: records of ended namespaces give way", holds: "the command", file: "internal/sessions/record/room.go",
		check: "dirfd.IsFull(err) && store.anyEnded()", instead: "false && store.anyEnded()",
		tests: "TestFullRunRescuesNobody",
	},
	{
		name: "advice: names are words of the shell", holds: "the command", file: "internal/core/shellword/shellword.go",
		check: "case s != \"\" && !strings.ContainsFunc(s, special):", instead: "case s != \"\" && !strings.ContainsFunc(s, special) || true:",
		tests: "TestAdviceQuotesNames",
	},
	{
		name: "prepare: no parent where a filesystem is still to be mounted", holds: "the command", file: "cmd/polyinst/prepare.go",
		check: "ok && absent(p.path)", instead: "ok && false",
		tests: "TestParentsOnAFilesystemThatIsNotMounted",
	},
	{
		name: "check: a service that is named must have our line", holds: "the command", file: "cmd/polyinst/internal/pamstack/lacking.go",
		check: "k.Stacks.SessionLine(name); there && !ok", instead: "k.Stacks.SessionLine(name); false && there && !ok",
		tests: "TestCheckServiceWithoutTheLine",
	},
	{
		name: "enable: what only our line keeps from closing is told", holds: "the command", file: "cmd/polyinst/rehearse.go",
		check: "if r.Opened && was.Opened && was.Error == r.Error {", instead: "if r.Opened && was.Opened {",
		tests: "TestEnableStackThatDoesNotClose",
	},
	{
		name: "enable: a session is opened through the changed stack", holds: "the command", file: "cmd/polyinst/enablerehearse.go",
		check: "case !r.Opened:", instead: "case false:",
		tests: "TestEnableRefuses",
	},
	{
		name: "enable: it has its private directories then", holds: "the command", file: "cmd/polyinst/enablerehearse.go",
		check: "case x.Outcome == outcomeNew && !r.Moved:", instead: "case false:",
		tests: "TestEnableRefuses",
	},
	{
		name: "enable: a rehearsal is by the changed files, also by included ones", holds: "the command", file: "cmd/polyinst/internal/pamstack/enable.go",
		check: "words[at] = dir + \"/\" + strings.TrimPrefix(words[at], etc)", instead: "words[at] = strings.TrimPrefix(words[at], etc)",
		pkg: "cmd/polyinst/internal/pamstack", tests: "TestIn",
	},
	{
		name: "enable: what was is noted before it is changed", holds: "the command", file: "cmd/polyinst/stackwrite.go",
		check: "if err := k.save(); err != nil {\n\t\treturn err\n\t}\n\tif err := begin()", instead: "if err := begin()",
		tests: "TestEnableIsTakenBack|TestEnableFilesOfOthers",
	},
	{
		name: "enable: files are replaced in one step", holds: "the command", file: "internal/kernel/dirfd/replace.go",
		check: "return pathError(\"rename\", f.path, unix.Renameat(d.FD(), next, d.FD(), name))",
		instead: "defer func() { _ = d.Unlink(next) }()\n\t\tto, _, err := d.openFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o600)\n" +
			"\t\tif err != nil {\n\t\t\treturn err\n\t\t}\n\t\tdefer to.Close()\n" +
			"\t\tif err := to.Rewrite(content); err != nil {\n\t\t\treturn err\n\t\t}\n\t\treturn like.give(to)",
		tests: "TestEnableKilledAnywhere/enable",
	},
	{
		name: "enable: who takes it back has a session of its own", holds: "the command", file: "cmd/polyinst/internal/program/detach.go",
		check: "cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}\n\tif err := cmd.Start()", instead: "if err := cmd.Start()",
		tests: "TestEnableWaiter|TestEnableIsTakenBack",
	},
	{
		name: "enable: a shutdown takes it back", holds: "the command", file: "cmd/polyinst/confirm.go",
		check: "case <-asked:", instead: "case <-make(chan int):\n\t\t\t_ = asked",
		tests: "TestEnableIsTakenBack",
	},
	{
		name: "enable: a boot takes it back", holds: "the command", file: "cmd/polyinst/prepare.go",
		check: "settleAtBoot()", instead: "",
		tests: "TestEnableIsTakenBack",
	},
	{
		name: "enable: a link of authselect stays", holds: "the command", file: "cmd/polyinst/enable.go",
		check: "if why := link.Problem(path, line, as); why != \"\" {", instead: "if why := link.Problem(path, line, as); false {\n\t\t_ = why",
		tests: "TestEnableFilesOfOthers",
	},
	{
		name: "doctor: no command comes from the log", holds: "the command", file: "cmd/polyinst/doctor.go",
		check: "range slices.Concat(d.Refusals, d.Warnings) {", instead: "range slices.Concat(d.Refusals, d.Warnings, []string{fmt.Sprint(d.Last)}) {",
		tests: "TestDoctor",
	},
	{
		name: "status: polydirs that no service has are an alarm", holds: "the command", file: "cmd/polyinst/status.go",
		check: "s.State == stateOff && s.Config.Polydirs > 0", instead: "false",
		tests: "TestStatus",
	},
	{
		name: "status: an hour ago is long ago", holds: "the command", file: "cmd/polyinst/sessionlog.go",
		check: "return !e.At.Before(since) &&", instead: "return",
		tests: "TestStatusLastHour",
	},
	{
		name: "worker: born outside of a user's cgroup", holds: "I-19", file: "pam_polyinst/ask.c",
		check: "user_started(call) ? clone_out_of_cgroup() : -1", instead: "user_started(call) && 0 ? clone_out_of_cgroup() : -1",
		tests: "TestWorkersOwnShare|TestFrozenHost|TestAttackers/setuid_hosts,_frozen",
	},
	{
		name: "worker: the usual scheduling", holds: "I-19", file: "pam_polyinst/worker.c",
		check: "sched_setscheduler(0, SCHED_OTHER, &(const struct sched_param){ 0 });", instead: ";",
		tests: "TestWorkersOwnShare",
	},
	{
		name: "worker: namespaces count as the user's", holds: "I-19", file: "internal/kernel/mntns/charge.go",
		check: "if uid == 0 || unix.Capget", instead: "if true || unix.Capget",
		tests: "TestNamespacesCountAsTheUsers",
	},
	{
		name: "worker: the usual personality", holds: "I-19", file: "pam_polyinst/worker.c",
		check: "personality(PER_LINUX);", instead: "",
		tests: "TestWorkersOwnShare|TestCallerChoosesNoKernel",
	},
	{
		name: "worker: no addresses for each thread", holds: "I-12", file: "pam_polyinst/worker.c",
		check: "mallopt(M_ARENA_MAX, 1);", instead: "",
		tests: "TestWorkersMemory",
	},
	{
		name: "worker: no session without a deadline", holds: "I-19", file: "pam_polyinst/worker.c",
		check: "if (timer_create(CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL }, &deadline_timer) < 0)", instead: "if (timer_create(CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL }, &deadline_timer) < 0 && 0)",
		tests: "TestWorkerWithoutADeadlineIsRefused",
	},
	{
		name: "worker: it ends with its host before it is root's", holds: "I-19", file: "pam_polyinst/worker.c",
		check: "(prctl(PR_SET_PDEATHSIG, SIGKILL), setresuid(0, 0, 0)) < 0", instead: "setresuid(0, 0, 0) < 0",
		tests: "TestStoppedWhenItBecomesRoots",
	},
	{
		name: "worker: its own clock runs before it is root's", holds: "I-19", file: "pam_polyinst/worker.c",
		check: "\town_deadline(sock);\n\tsetgroups", instead: "\tif (sock < 0) own_deadline(sock);\n\tsetgroups",
		tests: "TestStoppedWhenItBecomesRoots",
	},
	{
		name: "worker: its own clock has the configuration's deadline", holds: "I-19", file: "pam_polyinst/main.go",
		check: "\tC.polyinstDeadline(C.uint(ms))\n", instead: "",
		tests: "TestWorkerEndsByItsOwnClock|TestFrozenWorkerEndsByItsOwnClock",
	},
	{
		name: "ready: who listens is root here", holds: "I-20", file: "pam_polyinst/ready.c",
		check: "|| who.pid == 0 || who.uid != 0)", instead: ")",
		tests: "TestReadyStrangersListener",
	},
	{
		name: "ready: the way to the socket is root's", holds: "I-20", file: "pam_polyinst/ready.c",
		check: "else if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))", instead: "else if (i > 9)",
		tests: "TestReadyLies|TestReadyWayIsRoots",
	},
	{
		name: "ready: the worker that answers is of the build of the module", holds: "I-20", file: "pam_polyinst/ready.c",
		check: "else if (strcmp(a->message + 1, BUILD) != 0)", instead: "else if (0)",
		tests: "TestReadyLies",
	},
	{
		name: "ready: the worker answers a module of its build", holds: "I-20", file: "internal/serve/worker.go",
		check: "request.Build != wire.Build {", instead: "request.Build != wire.Build && false {",
		tests: "TestReadyAsksItself",
	},
	{
		name: "ready: what a profile gives the session is the host's", holds: "I-20", file: "internal/observe/security.go",
		check: "profile, active, err := host.AppArmor()", instead: "profile, active, err := lsm.Own().AppArmor()",
		pkg: "internal/observe", tests: "TestSecurityIsTheHosts",
	},
	{
		name: "ready: the session's context is the host's", holds: "I-20", file: "internal/observe/security.go",
		check: "sec.Session, err = selinuxfs.Exec(host)", instead: "sec.Session, err = selinuxfs.Exec(lsm.Own())",
		pkg: "internal/observe", tests: "TestSecurityIsTheHosts",
	},
	{
		name: "ready: a script whose runner matters is a forked worker's", holds: "I-20", file: "internal/session/session.go",
		check: "case step.Init != nil:", instead: "case false:",
		pkg: "internal/session", tests: "TestDeclines",
	},
	{
		name: "ready: what is denied to a worker is another's to refuse", holds: "I-20", file: "internal/session/session.go",
		check: "c.declined == nil && apart != nil && denied(r) {", instead: "false && apart != nil {",
		pkg: "internal/session", tests: "TestDeclines",
	},
	{
		name: "ready: SELinux: the host is what the policy let connect", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "case context != connected:", instead: "case false:",
		pkg: "internal/kernel/peer", tests: "TestJudgeContext",
	},
	{
		name: "ready: SELinux: the host chooses no labels", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "case create != \"\":", instead: "case false:",
		pkg: "internal/kernel/peer", tests: "TestJudgeContext",
	},
	{
		name: "ready: SELinux: no label that the host may not give", holds: "I-20", file: "internal/session/session.go",
		check: "makes && !c.of.MayLabel(step.Label):", instead: "false && makes:",
		pkg: "internal/session", tests: "TestDeclines",
	},
	{
		name: "ready: SELinux: what cannot be told is not permitted", holds: "I-20", file: "internal/kernel/selinuxfs/selinuxfs.go",
		check: "bool { return err == nil && permitted }", instead: "bool { return err != nil || permitted }",
		pkg: "internal/kernel/selinuxfs", tests: "TestDecision",
	},
	{
		name: "ready: SELinux: a worker is no fork of the host", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "h.apart = fmt.Errorf(\"SELinux:", instead: "_ = fmt.Errorf(\"SELinux:",
		pkg: "internal/kernel/peer", tests: "TestJudgeContext",
	},
	{
		name: "ready: SELinux: workers are in their domain", holds: "I-20", file: "internal/kernel/self/self.go",
		check: "err != nil || c.Type != domain {", instead: "err != nil || c.Type == \"\" {",
		pkg: "internal/kernel/self", tests: "TestServesIn",
	},
	{
		name: "ready: the host's namespaces are the worker's", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "if theirs != own[kind] {", instead: "if false {",
		tests: "TestReadyRejects",
	},
	{
		name: "ready: a profile's rules permit that its program is served", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "if missing != \"\" {", instead: "if missing != \"\" && false {",
		pkg: "internal/kernel/peer", tests: "TestJudgeLabels",
	},
	{
		name: "ready: what AppArmor denies is not permitted", holds: "I-20", file: "internal/kernel/lsm/apparmor.go",
		check: "return allowed &^ denied, nil", instead: "return allowed, nil",
		pkg: "internal/kernel/lsm", tests: "TestParseAnswer",
	},
	{
		name: "ready: a profile that waits is the host's to say", holds: "I-20", file: "internal/kernel/lsm/apparmor.go",
		check: "if t != Own() {", instead: "if false {",
		pkg: "internal/kernel/lsm", tests: "TestAppArmorExecIsTheReaders",
	},
	{
		name: "ready: no profile waits for the host's next execve", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "case claim.Exec:", instead: "case false:",
		pkg: "internal/kernel/peer", tests: "TestJudgeLabels",
	},
	{
		name: "ready: a profile has one name for host and worker", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "case profile.Elsewhere():", instead: "case false:",
		pkg: "internal/kernel/peer", tests: "TestJudgeLabels",
	},
	{
		name: "ready: init scripts of confined programs are theirs", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "h.context, h.apart = profile.Name, fmt.Errorf(\"AppArmor:", instead: "h.context, _ = profile.Name, fmt.Errorf(\"AppArmor:",
		pkg: "internal/kernel/peer", tests: "TestJudgeLabels",
	},
	{
		name: "ready: what a profile takes of the capabilities", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "h.caps, err = mntns.CapabilitiesOfTask(claim.TID)", instead: "_ = mntns.CapabilitiesOfTask",
		pkg: "internal/kernel/peer", tests: "TestJudgeLabels",
	},
	{
		name: "ready: under Smack for its own label", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "|| smack != own.smack {", instead: "{",
		pkg: "internal/kernel/peer", tests: "TestJudgeLabels",
	},
	{
		name: "ready: the host may do what the worker may", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "missing != 0 {", instead: "missing != 0 && false {",
		tests: "TestReadyRejects",
	},
	{
		name: "ready: no host in a chroot", holds: "I-20", file: "internal/kernel/peer/host.go",
		check: "if here.ID != theirs.ID || here.MountID != theirs.MountID {", instead: "if here.ID != theirs.ID && false {",
		tests: "TestReadyRejects",
	},
	{
		name: "ready: who asks is who has connected", holds: "I-20", file: "internal/kernel/peer/host.go",
		check: "case int(sender) != h.pid:", instead: "case false:",
		tests: "TestReadyAsksItself",
	},
	{
		name: "ready: who has connected, and not who has its pid now", holds: "I-20", file: "internal/kernel/peer/host.go",
		check: "if errors.Is(err, unix.ENOPROTOOPT) {", instead: "if true {",
		tests: "TestReadyAsksItself",
	},
	{
		name: "ready: the host lives when all is read", holds: "I-20", file: "internal/kernel/peer/judge.go",
		check: "err != nil || n != 0 {", instead: "err != nil || n != 0 && false {",
		tests: "TestReadyAsksItself",
	},
	{
		name: "ready: accounts by the sources that it knows", holds: "I-20", file: "internal/serve/worker.go",
		check: "path != \"\" {", instead: "path != \"\" && false {",
		tests: "TestReadyAccounts|TestReadyRejects",
	},
	{
		name: "ready: it ends with the host", holds: "I-20", file: "internal/serve/worker.go",
		check: ", w.watch.For(h.FD(), h.Process())); err != nil {", instead: "); err != nil {",
		tests: "TestReadyEndsWithTheHost",
	},
	{
		name: "ready: one that was changed ends", holds: "I-21", file: "internal/serve/worker.go",
		check: "err = errors.Join(err, changed)", instead: "_ = changed",
		tests: "TestReadyState",
	},
	{
		name: "ready: it goes back", holds: "I-21", file: "internal/serve/worker.go",
		check: "if entered {", instead: "if entered && false {",
		tests: "TestReady|TestReadyRemovesByTheEnd",
	},
	{
		name: "ready: the host waits until it has let go", holds: "I-22", file: "pam_polyinst/ask.c",
		check: "|| !(a->report.priority & GOES_ON);", instead: ";",
		tests: "TestReadyLetsGoFirst",
	},
	{
		name: "remove: a directory is read on where it was left", holds: "The command", file: "internal/kernel/dirfd/tree.go",
		check: "above.read, st.ID", instead: "0, st.ID",
		tests: "TestRemoveTreeReadsOn",
	},
	{
		name: "trees: a label is no longer than a path", holds: "I-19", file: "internal/kernel/dirfd/dirfd.go",
		check: "if len(dir)+1+len(name) > unix.PathMax {", instead: "if false {",
		pkg: "internal/kernel/dirfd", tests: "TestDeepTreesTakeNoMemory",
	},
	{
		name: "enable: a file that was changed meanwhile is not replaced", holds: "The command", file: "cmd/polyinst/stackwrite.go",
		check: "_, like, err := k.unchanged(c)", instead: "_, like, _ := k.unchanged(c)\n\t\terr = nil",
		tests: "TestEnableBesideAnotherProgram",
	},
	{
		name: "doctor: the rest of a line is no line of the log", holds: "The command", file: "cmd/polyinst/sessionlog.go",
		check: "if size > logTail {", instead: "if false {",
		pkg: "cmd/polyinst", tests: "TestLogFileIsCut",
	},
	{
		name: "ready: what one user has left keeps no other waiting", holds: "I-10", file: "internal/kernel/dirfd/tree.go",
		check: "r.over = r.over || time.Now().After(r.until)", instead: "r.over = false",
		tests: "TestReadySharesItsTime",
	},
	{
		name: "remove: a removal in parts leaves what was made since the first", holds: "The command", file: "internal/kernel/dirfd/tree.go",
		check: "r.of.most, r.of.part, r.of.until, r.of.over = most, time.Now(), time.Time{}, false", instead: "r.of.most, r.of.part, r.of.until, r.of.over, r.of.began = most, time.Now(), time.Time{}, false, time.Now()",
		pkg: "internal/kernel/dirfd", tests: "TestRemovalInParts",
	},
	{
		name: "remove: what is younger is looked at once", holds: "The command", file: "internal/kernel/dirfd/tree.go",
		check: "|| r.over || IsStillMade(err) || IsTooDeep(err) {", instead: "|| r.over || IsTooDeep(err) {",
		pkg: "internal/kernel/dirfd", tests: "TestRemoveTreeLooksOnceAtTheYounger",
	},
	{
		name: "status: only who is reached listens", holds: "I-20", file: "internal/kernel/peer/listener.go",
		check: "return errors.Is(err, unix.EAGAIN), \"\" // too many wait", instead: "return true, \"\"",
		tests: "TestStatusIsNotLiedTo",
	},
	{
		name: "remove: what was judged is not judged again when it was made root's", holds: "The command", file: "internal/kernel/dirfd/tree.go",
		check: "return err == nil && st.ID == r.left", instead: "return err == nil && false && st.ID == r.left",
		pkg: "internal/kernel/dirfd", tests: "TestRemoveTreeOfAnOverlay",
	},
	{
		name: "ready: it has let go of the view of the outer session", holds: "I-22", file: "internal/session/session.go",
		check: "true, c.own == nil && !c.req.Closes", instead: "true, !c.req.Closes",
		tests: "TestReadyLeavesTheOuterTmpdir",
	},
	{
		name: "ready: it has let go before other modules clean up", holds: "I-22", file: "internal/session/session.go",
		check: "true, c.own == nil && !c.req.Closes", instead: "true, c.own == nil",
		tests: "TestReadyLetsGoOfVolumes",
	},
	{
		name: "ready: a host that cannot join waits until all is undone", holds: "I-22", file: "pam_polyinst/ask.c",
		check: "waits = outcome ||", instead: "waits =",
		tests: "TestReadyUndoesFirst",
	},
	{
		name: "report: a line that may not be reached isolates nobody", holds: "docs/compliance.md", file: "cmd/polyinst/report.go",
		check: "|| r.passed || e.options.strict", instead: "|| e.options.strict",
		tests: "TestReportOfABrokenMachine",
	},
	{
		name: "report: the kernel says which mounts are there", holds: "docs/compliance.md", file: "cmd/polyinst/report.go",
		check: "if !p.Covered {", instead: "if false {",
		tests: "TestReport",
	},
	{
		name: "removal: however deep, with few descriptors", holds: "The command", file: "internal/kernel/dirfd/tree.go",
		check: "if depth == maxDepth {", instead: "if false {",
		pkg: "internal/kernel/dirfd", tests: "TestRemoveTreeOfAnyDepth",
	},
	{
		name: "removal: the way up is the way down", holds: "I-10", file: "internal/kernel/dirfd/tree.go",
		check: "err == nil && st.ID != want", instead: "err == nil && st.ID == (ID{})",
		pkg: "internal/kernel/dirfd", tests: "TestUpIsTheWayDown",
	},
	{
		name: "removal: ends where it cannot be told what was made meanwhile", holds: "The command", file: "internal/kernel/dirfd/tree.go",
		check: "r.undated > maxUndated", instead: "r.undated < 0",
		pkg: "internal/kernel/dirfd", tests: "TestRemoveTreeWithinBounds",
	},
	{
		name: "removal: read-only subvolumes go", holds: "The command", file: "internal/kernel/dirfd/tree.go",
		check: "child.thaw()", instead: "_ = child.thaw",
		tests: "TestSubvolumes",
	},
	{
		name: "age: a swapped name is no failure", holds: "The command", file: "internal/kernel/dirfd/age.go",
		check: "err != nil && !isAnother(err) && first == nil", instead: "err != nil && !errors.Is(err, unix.ENOENT) && first == nil",
		tests: "TestGcAgesWhileNamesAreSwapped",
	},
	{
		name: "doctor: looks on where the log's service opens", holds: "The command", file: "cmd/polyinst/doctor.go",
		check: "for i, service := range services {", instead: "for i, service := range services[:1] {",
		tests: "TestLogHidesNoRefusal",
	},
	{
		name: "doctor: the log names no service without our line", holds: "The command", file: "cmd/polyinst/stacks.go",
		check: "if slices.Contains(services, name) && !slices.Contains(out, name) {", instead: "if !slices.Contains(out, name) {",
		tests: "TestLogHidesNoRefusal",
	},
	{
		name: "log: it says when it begins", holds: "The command", file: "cmd/polyinst/sessionlog.go",
		check: "|| !l.since.After(asked.Add(tick)) {", instead: "|| true || !l.since.After(asked.Add(tick)) {",
		tests: "TestLogHidesNoRefusal",
	},
	{
		name: "errors: a name plays with no terminal", holds: "The command", file: "cmd/polyinst/main.go",
		check: "return printable(err.Error())", instead: "return err.Error()",
		tests: "TestNamesInErrors",
	},
	{
		name: "advice: root changes nothing that a user can put a link in the place of", holds: "The command", file: "internal/core/plan/decide.go",
		check: "otherwise(swap, i > 0)", instead: "otherwise(Swap{Dir: swap.Dir}, false && i > 0)",
		tests: "TestAdviceAboutPolydirsHarmsNobody",
	},
	{
		name: "advice: no chmod +t of what a user can rename", holds: "The command", file: "internal/core/plan/decide.go",
		check: "if !d.rootsAlone() {\n\t\t\t\tadvice = LookAndMove", instead: "if false {\n\t\t\t\tadvice = LookAndMove",
		tests: "TestAdviceAboutPolydirsHarmsNobody",
	},
	{
		name: "check: a source that its user removed is no fault of root's", holds: "The command", file: "cmd/polyinst/checkmachine.go",
		check: "return source || polydir && r.Fault == plan.FaultConfig", instead: "return source && false || polydir",
		tests: "TestPolydirsThatUsersSpoil",
	},
	{
		name: "check: a parent of root's is root's fault", holds: "The command", file: "cmd/polyinst/checkmachine.go",
		check: "return parent || polydir && r.Fault == plan.FaultUser", instead: "return parent || polydir",
		tests: "TestRootsFaultBehindAHome",
	},
	{
		name: "ready: a close is not urgent", holds: "I-20", file: "internal/serve/worker.go",
		check: "line.err = errors.Join(line.err, w.base.Unhurried())", instead: "line.err = errors.Join(line.err)",
		tests: "TestReadyClosesUnhurried",
	},
	{
		name: "ready: a service that ends begins nothing", holds: "I-20", file: "internal/serve/pool.go",
		check: "again, renew = nil, nil", instead: "again = nil",
		tests: "TestReadyEndsThoughRenewed",
	},
	{
		name: "ready: what the service removes is not urgent", holds: "I-20", file: "internal/serve/pool.go",
		check: "if err := self.Unhurried(); err != nil {", instead: "if err := error(nil); err != nil && self.Unhurried() != nil {",
		tests: "TestReadyClosesUnhurried",
	},
	{
		name: "overlay: a sandbox that shows a part of it uses it", holds: "I-10", file: "internal/sessions/live/uses.go",
		check: "p.Path[:max(i, 1)]", instead: "p.Path[:i]",
		tests: "TestGcLeavesOverlaysAlone",
	},
	{
		name: "ready worker: what a user did to their home is not told", holds: "I-10", file: "internal/gc/ended.go",
		check: "&& !isUsersDoing(err)", instead: "&& (true || !isUsersDoing(err))",
		tests: "TestReadyTidiesHomes",
	},
	{
		name: "ready worker: one look is for all that have ended", holds: "I-10", file: "internal/gc/ended.go",
		check: "err := r.ended(of, store)", instead: "_ = r.uses.Look()\n\t\terr := r.ended(of, store)",
		tests: "TestReadyLooksOnceForAll",
	},
	{
		name: "ready worker: a user has one share of the time, for however many instances", holds: "I-10", file: "internal/gc/ended.go",
		check: "if spent[of.UID] >= share {", instead: "if false {",
		tests: "TestReadySharesItsTimeAmongUsers",
	},
	{
		name: "ready worker: what failed waits for the rest", holds: "I-10", file: "internal/gc/ended.go",
		check: "&& !t.failed[r.Identity]", instead: "&& (true || !t.failed[r.Identity])",
		tests: "TestReadyGoesOnBehindWhatFails",
	},
	{
		name: "ready worker: a fault is told once", holds: "I-10", file: "internal/gc/ended.go",
		check: "known := t.told", instead: "known := false && t.told",
		tests: "TestReadyTellsAFaultOnce",
	},
	{
		name: "ready worker: one user's mounts keep nobody else's tmpdir", holds: "I-10", file: "internal/gc/ended.go",
		check: "live.Uses{Known:", instead: "live.Uses{Hasty: true, Known:",
		tests: "TestReadyRemovesBesideMounts",
	},
	{
		name: "ready worker: a name makes no line of its own", holds: "I-14", file: "internal/serve/pool.go",
		check: "wire.Clip(fmt.Sprintf(format, args...))", instead: "fmt.Sprintf(format, args...)",
		pkg: "internal/serve", tests: "TestPoolSaysOneLine",
	},
	{
		name: "watch: no user fills the log", holds: "The command", file: "cmd/polyinst/watch.go",
		check: "p.times >= watchOften && now.Sub(p.last) < watchIdle", instead: "p.times < 0",
		pkg: "cmd/polyinst", tests: "TestWatchingTellsWithinBounds",
	},
	{
		name: "quota: what a user did to a file refuses nobody", holds: "I-17", file: "internal/kernel/projquota/tree.go",
		check: "|| errors.Is(err, unix.ENOKEY)", instead: "",
		pkg: "internal/kernel/projquota", tests: "TestStaysAsItIs",
	},
	{
		name: "ready: what takes long is not urgent", holds: "I-20", file: "internal/serve/worker.go",
		check: "_ = w.base.Unhurried() // a user", instead: "// a user",
		tests: "TestReadyIsNotAheadForLong",
	},
	{
		name: "ready: what takes long is not urgent afterwards", holds: "I-20", file: "internal/serve/worker.go",
		check: "if l.w.busy.Load() {", instead: "if false {",
		tests: "TestReadyIsNotAheadForLong",
	},
	{
		name: "ready: a worker that ends says nothing of that", holds: "I-21", file: "internal/serve/worker.go",
		check: "if !w.busy.Load() { // by now", instead: "if true { // by now",
		tests: "TestReadyIsNotAheadForLong",
	},
	{
		name: "gc: a parent of a user's is not read for orphans", holds: "The command", file: "internal/gc/orphan.go",
		check: "way, err := observe.OpenParent(p.Path) // judged", instead: "_, _ = observe.OpenParent(p.Path)\n\tway, err := dirfd.Walk(p.Path, nil) // judged",
		tests: "TestParentsOfOthersAreNotRead",
	},
}
