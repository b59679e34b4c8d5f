import DataFiles
import Foundation
import Synchronization
import Testing

@testable import Machine

/// A home of its own for the body.
func withStore<R>(_ body: (MachineStore) throws -> R) throws -> R {
    try withTemporaryFolder { folder in try body(MachineStore(home: folder + "/home")) }
}

private func expectError(_ kind: MachineError.Kind, _ part: String, _ body: () throws -> Void, _ place: SourceLocation = #_sourceLocation) {
    do {
        try body()
        Issue.record("no error", sourceLocation: place)
    } catch let error as MachineError {
        #expect(error.kind == kind, "\(error)", sourceLocation: place)
        #expect(error.description.contains(part), "\(error)", sourceLocation: place)
        #expect(error.description.hasSuffix("."), "\(error)", sourceLocation: place)
    } catch {
        Issue.record("\(error)", sourceLocation: place)
    }
}

@Suite("store · machines") struct StoreTests {
    private func write(_ text: String, _ path: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path)) }

    @Test("a home that is not there has no machines, and looking does not make it") func empty() throws {
        try withStore { store in
            let machines = try store.list()
            #expect(machines.isEmpty)
            #expect(!FileManager.default.fileExists(atPath: store.home))
        }
    }

    @Test("what a killed edit left beside machine.toml goes with the next listing") func leftovers() throws {
        try withStore { store in
            try store.create("a", MachineSettings())
            let folder = store.folder(of: "a")
            // No process has the number; process 1 lives, but nobody holds the lock.
            for pid in ["4194305", "1"] { try write("half", "\(folder)/machine.toml.\(pid).tmp") }
            try write("mine", "\(folder)/machine.toml.notes.tmp")
            _ = try store.list()
            let left = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".tmp") }
            #expect(left == ["machine.toml.notes.tmp"])
        }
    }

    @Test("looking again sees what has changed, and only that costs") func glance() throws {
        try withStore { store in
            for name in ["a", "b", "c"] { try store.create(name, MachineSettings()) }
            var glance = StoreGlance(store)
            func memory() throws -> [String: Int] {
                Dictionary(uniqueKeysWithValues: try glance.list().map { ($0.name, (try? $0.settings.get().run.memoryMiB) ?? -1) })
            }
            #expect(try memory() == ["a": 128, "b": 128, "c": 128])
            try store.edit("b") { (settings) throws(MachineError) in settings.run.memoryMiB = 64 }
            #expect(try memory()["b"] == 64)
            try store.delete("c")
            try store.rename("a", to: "d")
            #expect(try memory() == ["d": 128, "b": 64])
            try write("nonsense", store.folder(of: "d") + "/machine.toml")
            #expect(try memory() == ["d": -1, "b": 64])
            // Old enough to be believed; a run that begins shows all the same.
            for name in ["b", "d"] {
                for path in [store.folder(of: name), store.folder(of: name) + "/machine.toml"] {
                    var times = [timespec(tv_sec: time(nil) - 100, tv_nsec: 0), timespec(tv_sec: time(nil) - 100, tv_nsec: 0)]
                    utimensat(AT_FDCWD, path, &times, 0)
                }
            }
            _ = try glance.list()
            #expect(try glance.list().first { $0.name == "b" }?.state == .off)
            let lock = try MachineLock.take(.run, of: store.folder(of: "b"), name: "b")
            try RunRecord.current(socket: "").write(in: store.folder(of: "b"))
            #expect(try glance.list().first { $0.name == "b" }?.state.isLive == true)
            withExtendedLifetime(lock) {}
        }
    }

    @Test("the home is VITRINE_HOME, then XDG_DATA_HOME when absolute, then HOME") func home() {
        #expect(MachineStore(environment: ["VITRINE_HOME": "/a", "XDG_DATA_HOME": "/b", "HOME": "/c"]).home == "/a")
        #expect(MachineStore(environment: ["VITRINE_HOME": "", "XDG_DATA_HOME": "/b", "HOME": "/c"]).home == "/b/vitrine")
        #expect(MachineStore(environment: ["XDG_DATA_HOME": "b", "HOME": "/c"]).home == "/c/.local/share/vitrine")
    }

    @Test("what was created is read back; its disk is a VDI of the size asked for") func create() throws {
        try withStore { store in
            var settings = try #require(OSType.named("dos")).settings
            settings.notes = "two\nlines \"quoted\" \\ and ü"
            settings.tags = ["a", "b c"]
            settings.run.serial = [.none, .file("out.txt")]
            settings.run.debugConsoles = [.init(port: 0x402, path: "x")]
            settings.run.rtcSeconds = 981_173_106
            try store.create("My DOS", settings, disk: NewDisk(bytes: 64 << 20))
            settings.run.disks = ["disk.vdi"]
            let entry = try store.entry("My DOS")
            #expect(try entry.settings.get() == settings)
            #expect(entry.state == .off)
            #expect(try ImageFacts(path: entry.folder + "/disk.vdi").bytes == 64 << 20)
            #expect(try entry.runSettings().disks == [entry.folder + "/disk.vdi"])
            #expect(try entry.runSettings().serial == [.none, .file(entry.folder + "/out.txt")])
            #expect(try entry.runSettings().displayName == "My DOS")
            #expect(try store.list().map(\.name) == ["My DOS"])
            #expect(FolderWork.names(store.home) == ["My DOS"])
        }
    }

    @Test("every OS type makes a machine that is valid and reads back", arguments: OSType.all)
    func types(type: OSType) throws {
        try withStore { store in
            let made = try store.create(type.id, type.settings)
            #expect(try made.settings.get() == type.settings)
            #expect(
                !type.title.isEmpty && !type.family.isEmpty
                    && type.id.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "-" || $0 == "." })
        }
    }

    @Test("OS types have ids of their own") func typeIDs() { #expect(Set(OSType.all.map(\.id)).count == OSType.all.count) }

    @Test(
        "names are letters, digits, blanks and - _ .",
        arguments: ["a", "Windows 95", "ä", "x_1-2.3", "9", String(repeating: "n", count: 64)])
    func names(name: String) { #expect(MachineName.problem(name) == nil) }

    @Test(
        "other names are refused with a sentence",
        arguments: [
            "", ".", "..", ".x", "-x", " x", "x ", "x.", "a/b", "a\nb", "a\u{0}b", "a:b", "x*", String(repeating: "n", count: 65),
            "\u{1B}[31m",
        ])
    func badNames(name: String) throws {
        try withStore { store in
            expectError(.usage, "name") { try store.create(name, MachineSettings()) }
            #expect(MachineName.problem(name)?.unicodeScalars.contains { $0.value < 0x20 } == false)
            expectError(.wrongPlace, "no machine") { _ = try store.entry(name) }
        }
    }

    @Test("a name is there once; case counts") func taken() throws {
        try withStore { store in
            try store.create("a", MachineSettings())
            expectError(.wrongPlace, "already") { try store.create("a", MachineSettings()) }
            try store.create("A", MachineSettings())
            expectError(.wrongPlace, "already") { try store.rename("a", to: "A") }
            expectError(.wrongPlace, "already") { try store.clone("a", as: "A") }
            #expect(Set(try store.names()) == ["a", "A"])
        }
    }

    @Test("names are sorted as people count") func order() throws {
        try withStore { store in
            for name in ["vm10", "vm9", "Alpha", "beta"] { try store.create(name, MachineSettings()) }
            #expect(try store.names() == ["Alpha", "beta", "vm9", "vm10"])
        }
    }

    @Test("an edit says what changed, and one that contradicts itself changes nothing") func edit() throws {
        try withStore { store in
            let folder = try store.create("a", MachineSettings()).folder
            let changes = try store.edit("a") { $0.run.memoryMiB = 256 }
            #expect(changes.map(\.description) == ["Memory: 128 MiB -> 256 MiB"])
            #expect(try store.edit("a") { $0.run.memoryMiB = 256 }.isEmpty)
            let before = try String(contentsOfFile: folder + "/machine.toml", encoding: .utf8)
            expectError(.usage, "--kernel") { try store.edit("a") { $0.run.append = "x" } }
            expectError(.usage, "--memory") { try store.edit("a") { $0.run.memoryMiB = 0 } }
            #expect(try store.edit("a", dryRun: true) { $0.run.cpus = 2 }.count == 1)
            #expect(try String(contentsOfFile: folder + "/machine.toml", encoding: .utf8) == before)
        }
    }

    @Test("paths into the machine's folder become relative, and access without a disk goes") func tidy() throws {
        try withStore { store in
            let folder = try store.create("a", MachineSettings()).folder
            try store.edit("a") {
                $0.run.disks = [folder + "/d.img", "/other/e.img"]
                $0.run.diskAccess = [.writable, .readOnly]
            }
            #expect(try store.entry("a").checkedSettings().run.disks == ["d.img", "/other/e.img"])
            try store.edit("a") { $0.run.disks = [] }
            #expect(try store.entry("a").checkedSettings().run.diskAccess.isEmpty)
        }
    }

    @Test("a machine whose file is bad is listed with its error, and can be repaired or deleted") func bad() throws {
        try withStore { store in
            let entry = try store.create("a", MachineSettings())
            try write("[system]\nmemry = 3\n", entry.folder + "/machine.toml")
            let listed = try #require(try store.list().first)
            guard case .failure(let error) = listed.settings else {
                Issue.record("no error")
                return
            }
            #expect(
                error.description.hasSuffix(
                    "machine.toml:2:1 'memry' is not known (did you mean 'memory'?); [system] has memory, cpus, cpu-model, boot, "
                        + "acpi, ioapic, rtc-local, rtc-catch-up, rtc, clock, engine, code-cache, firmware, no-reboot"))
            expectError(.badInput, "machine.toml:2:1") { try store.edit("a") { $0.run.cpus = 2 } }
            try store.rename("a", to: "b")
            try store.delete("b")
            #expect(try store.names().isEmpty)
        }
    }

    @Test("a wrong name is answered with the nearest") func suggestion() throws {
        try withStore { store in
            try store.create("debian", MachineSettings())
            expectError(.wrongPlace, "did you mean 'debian'?") { _ = try store.entry("debain") }
            expectError(.wrongPlace, "no machine") { try store.delete("../x") }
        }
    }

    @Test("a kernel goes before the boot order that the OS type brought, and the order is kept") func kernelFirst() throws {
        try withStore { store in
            var settings = try #require(OSType.named("linux")).settings
            settings.run.kernel = "/k"
            let entry = try store.create("a", settings)
            #expect(try entry.runSettings().boot.isEmpty)
            #expect(try entry.checkedSettings().run.boot == [.cdrom, .disk])
        }
    }

    @Test("deleting a machine whose folder is a link leaves what the link points to") func link() throws {
        try withStore { store in
            let folder = try store.create("a", MachineSettings()).folder
            let elsewhere = URL(fileURLWithPath: store.home).deletingLastPathComponent().path + "/elsewhere"
            try FileManager.default.moveItem(atPath: folder, toPath: elsewhere)
            try FileManager.default.createSymbolicLink(atPath: folder, withDestinationPath: elsewhere)
            try store.edit("a") { $0.run.cpus = 2 }
            try store.delete("a")
            #expect(try store.list().isEmpty)
            #expect(FolderWork.names(store.home).isEmpty)
            #expect(FileManager.default.fileExists(atPath: elsewhere + "/machine.toml"))
        }
    }

    @Test("settings too long for their file are refused before anything is written") func long() throws {
        try withStore { store in
            try store.create("a", MachineSettings())
            expectError(.usage, "shorten the notes") { try store.edit("a") { $0.notes = String(repeating: "x", count: 2 << 20) } }
            #expect(try store.entry("a").checkedSettings().notes.isEmpty)
        }
    }

    @Test("a home that cannot be made is one sentence") func noHome() throws {
        try withTemporaryFolder { folder in
            try write("", folder + "/file")
            expectError(.failed, "/file") { try MachineStore(home: folder + "/file/home").create("a", MachineSettings()) }
            expectError(.failed, "cannot be read") { _ = try MachineStore(home: folder + "/file").list() }
        }
    }
}

@Suite("store · locks and states") struct StoreLockTests {
    @Test("lock and record make the state") func states() throws {
        try withStore { store in
            let folder = try store.create("a", MachineSettings()).folder
            var lock: MachineLock? = try MachineLock.take(.run, of: folder, name: "a")
            #expect(try store.entry("a").state == .starting)
            #expect(try store.entry("a").pid == nil)
            try RunRecord.current(socket: "s").write(in: folder)
            #expect(try store.entry("a").state == .running)
            #expect(try store.entry("a").pid == getpid())
            withExtendedLifetime(lock) {}
            lock = nil
            #expect(try store.entry("a").state == .aborted)
            #expect(try store.entry("a").pid == nil)
            RunRecord.remove(from: folder)
            #expect(try store.entry("a").state == .off)
        }
    }

    @Test("while a machine runs it is not renamed, deleted, copied, started again, or changed in what it cannot take") func running() throws
    {
        try withStore { store in
            let folder = try store.create("a", MachineSettings()).folder
            let lock = try MachineLock.take(.run, of: folder, name: "a")
            try RunRecord.current(socket: "").write(in: folder)
            expectError(.wrongPlace, "is running (process \(getpid()))") { try store.rename("a", to: "b") }
            expectError(.wrongPlace, "is running") { try store.delete("a") }
            expectError(.wrongPlace, "is running") { try store.clone("a", as: "b") }
            expectError(.wrongPlace, "is running") { _ = try MachineLock.take(.run, of: folder, name: "a") }
            expectError(.wrongPlace, "Memory of 'a' cannot be changed while the machine runs") {
                try store.edit("a") { $0.run.memoryMiB = 64 }
            }
            try store.edit("a") {
                $0.notes = "n"
                $0.run.cdrom = "/x.iso"
            }
            #expect(try store.entry("a").checkedSettings().run.cdrom == "/x.iso")
            withExtendedLifetime(lock) {}
        }
    }

    @Test("copies may go on side by side; a start waits for them") func shared() throws {
        try withStore { store in
            let folder = try store.create("a", MachineSettings()).folder
            let first = try MachineLock.take(.run, of: folder, name: "a", shared: true)
            let second = try MachineLock.take(.run, of: folder, name: "a", shared: true)
            #expect(try store.entry("a").state == .off)
            expectError(.wrongPlace, "is being copied") { _ = try MachineLock.take(.run, of: folder, name: "a") }
            withExtendedLifetime((first, second)) {}
        }
    }

    @Test("looking does not disturb a start at the same moment") func looking() throws {
        try withStore { store in
            let folder = try store.create("a", MachineSettings()).folder
            let stop = Atomic<Bool>(false)
            let ended = DispatchSemaphore(value: 0)
            Thread.detachNewThread {
                while !stop.load(ordering: .relaxed) { _ = MachineLock.isHeld(.run, of: folder) }
                ended.signal()
            }
            for _ in 0..<2000 { #expect((try? MachineLock.take(.run, of: folder, name: "a")) != nil) }
            stop.store(true, ordering: .relaxed)
            ended.wait()
        }
    }

    @Test("a lock ends with its owner, also while somebody else has a copy of the descriptor, as a process has that is being started")
    func copiedDescriptor() throws {
        try withStore { store in
            let folder = try store.create("a", MachineSettings()).folder
            var lock: MachineLock? = try MachineLock.take(.run, of: folder, name: "a")
            withExtendedLifetime(lock) {}
            let copies = FolderWork.names("/proc/self/fd").compactMap { Int32($0) }.filter {
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)"))?.hasSuffix(folder + "/lock") == true
            }.map { dup($0) }
            defer { copies.forEach { close($0) } }
            #expect(copies.count == 1 && MachineLock.isHeld(.run, of: folder))
            lock = nil
            #expect(!MachineLock.isHeld(.run, of: folder))
            _ = try MachineLock.take(.run, of: folder, name: "a")
        }
    }

    @Test("half-done work of dead processes is swept; that of living ones stays") func sweep() throws {
        try withStore { store in
            try store.create("a", MachineSettings())
            let dead = Int32.max - 1  // above the kernel's limit
            for name in [".new-\(dead)-x", ".trash-\(dead)-y/deep/er", ".new-\(getpid())-z", ".other"] {
                try FileManager.default.createDirectory(atPath: store.home + "/" + name, withIntermediateDirectories: true)
            }
            #expect(try store.list().map(\.name) == ["a"])
            #expect(Set(FolderWork.names(store.home)) == ["a", ".new-\(getpid())-z", ".other"])
        }
    }

    @Test("a number that another process has got does not keep old work: the lock is free and old") func forsaken() throws {
        try withStore { store in
            try store.create("a", MachineSettings())
            let folder = store.home + "/.new-\(getpid())-z"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try Data().write(to: URL(fileURLWithPath: folder + "/lock"))
            store.sweep()
            #expect(FileManager.default.fileExists(atPath: folder))
            try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -60)], ofItemAtPath: folder + "/lock")
            do {
                let lock = try MachineLock.take(.run, of: folder, name: "z")
                store.sweep()
                #expect(FileManager.default.fileExists(atPath: folder))
                withExtendedLifetime(lock) {}
            }
            store.sweep()
            #expect(!FileManager.default.fileExists(atPath: folder))
        }
    }

    @Test("two writers of one machine do not lose each other's change") func writers() throws {
        try withStore { store in
            try store.create("a", MachineSettings())
            let group = DispatchGroup()
            let failures = Mutex<[String]>([])
            for key in 0..<4 {
                DispatchQueue.global().async(group: group) {
                    for round in 1...25 {
                        while true {
                            do {
                                try store.edit("a") { settings in
                                    settings.tags = settings.tags.filter { !$0.hasPrefix("\(key)-") } + ["\(key)-\(round)"]
                                }
                                break
                            } catch let error as MachineError where error.description.contains("try again") {
                                continue
                            } catch {
                                failures.withLock { $0.append("\(error)") }
                                return
                            }
                        }
                    }
                }
            }
            group.wait()
            #expect(failures.withLock { $0 } == [])
            #expect(try Set(store.entry("a").checkedSettings().tags) == ["0-25", "1-25", "2-25", "3-25"])
        }
    }
}

@Suite("store · copies") struct StoreCloneTests {
    private func pattern(_ seed: UInt8, _ count: Int) -> Data {
        Data((0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 >> 9) &+ seed })
    }

    @Test("a clone has its own disks, also those from outside that are written, and shares the rest") func clone() throws {
        try withStore { store in
            let outside = URL(fileURLWithPath: store.home).deletingLastPathComponent().path
            let folder = try store.create("a", MachineSettings(), disk: NewDisk(bytes: 8 << 20)).folder
            for name in ["written.img", "read.img", "disk.vdi"] {
                try pattern(1, 100_000).write(to: URL(fileURLWithPath: outside + "/" + name))
            }
            try FileManager.default.copyItem(atPath: folder + "/disk.vdi", toPath: outside + "/disk.vdi.2")
            try FileManager.default.createDirectory(atPath: folder + "/Logs", withIntermediateDirectories: true)
            try FileManager.default.createDirectory(atPath: folder + "/shared/deep", withIntermediateDirectories: true)
            try pattern(5, 5000).write(to: URL(fileURLWithPath: folder + "/shared/deep/file"))
            try store.edit("a") {
                $0.run.diskInterface = .virtio
                $0.run.disks += [outside + "/written.img", outside + "/read.img", outside + "/disk.vdi.2"]
                $0.run.diskAccess = [.writable, .writable, .readOnly]
                $0.run.cdrom = "/some.iso"
            }
            let clone = try store.clone("a", as: "b")
            let settings = try clone.checkedSettings()
            #expect(settings.run.disks == ["disk.vdi", "written.img", outside + "/read.img", "disk.vdi.2"])
            #expect(settings.run.cdrom == "/some.iso")
            #expect(Set(FolderWork.names(clone.folder)) == ["lock", "machine.toml", "disk.vdi", "written.img", "disk.vdi.2", "shared"])
            #expect(FileManager.default.contentsEqual(atPath: folder + "/disk.vdi", andPath: clone.folder + "/disk.vdi"))
            #expect(FileManager.default.contentsEqual(atPath: outside + "/written.img", andPath: clone.folder + "/written.img"))
            #expect(FileManager.default.contentsEqual(atPath: folder + "/shared/deep/file", andPath: clone.folder + "/shared/deep/file"))
        }
    }

    @Test("holes stay holes; progress goes up to the whole and cancelling leaves nothing") func holes() throws {
        try withStore { store in
            let folder = try store.create("a", MachineSettings(), disk: NewDisk(bytes: 1 << 30, format: .raw)).folder
            let disk = try DiskImage.open(path: folder + "/disk.img", access: .readWrite)
            let data = [UInt8](pattern(3, 1 << 20))
            #expect(data.withUnsafeBytes { disk.write(sector: 1_000_000, from: $0) })
            #expect(data.withUnsafeBytes { disk.write(sector: 2_000_000, from: $0) })
            expectError(.badInput, "in use") { try store.clone("a", as: "b") }
            withExtendedLifetime(disk) {}
        }
        try withStore { store in
            let folder = try store.create("a", MachineSettings(), disk: NewDisk(bytes: 1 << 30, format: .raw)).folder
            try autoreleased {
                let disk = try DiskImage.open(path: folder + "/disk.img", access: .readWrite)
                let data = [UInt8](pattern(3, 1 << 20))
                #expect(data.withUnsafeBytes { disk.write(sector: 1_000_000, from: $0) })
                #expect(data.withUnsafeBytes { disk.write(sector: 2_000_000, from: $0) })
            }
            _ = try DiskImage.open(path: folder + "/disk.img", access: .readWrite)
            var seen: [(UInt64, UInt64)] = []
            let clone = try store.clone("a", as: "b") { done, total in
                seen.append((done, total))
                return true
            }
            #expect(clone.diskBytes < 16 << 20)
            #expect(FileManager.default.contentsEqual(atPath: folder + "/disk.img", andPath: clone.folder + "/disk.img"))
            let last = try #require(seen.last)
            #expect(last.0 >= 2 << 20 && last.0 <= last.1)
            #expect(zip(seen, seen.dropFirst()).allSatisfy { $0.0 <= $1.0 })
            var calls = 0
            expectError(.failed, "Cancelled") {
                try store.clone("a", as: "c") { _, _ in
                    calls += 1
                    return calls < 2
                }
            }
            #expect(try store.names() == ["a", "b"])
            #expect(Set(FolderWork.names(store.home)) == ["a", "b"])
        }
    }

    private func autoreleased(_ body: () throws -> Void) rethrows { try body() }
}
