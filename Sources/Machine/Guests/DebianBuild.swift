import Foundation

/// Makes a Debian disk in the cache, with the kernel and its initial RAM disk beside it. Nothing has its final name before it is
/// complete, and nothing half made is left when the build fails or is cancelled.
public struct DebianBuild {
    public enum Outcome: Equatable, Sendable {
        case built
        /// By the signal of this number.
        case cancelled(Int32)
    }

    /// How far it is.
    public struct Progress: Equatable, Sendable {
        /// What is being done.
        public var title: String
        /// 0 to 100.
        public var percent: Double

        public init(title: String, percent: Double) {
            self.title = title
            self.percent = percent
        }
    }

    let disk: DebianDisk
    /// Where the disk will be.
    public let image: String
    private let environment: [String: String]
    private let log: String
    private let folder: String
    private var name: String { "debian-\(disk.architecture)" }

    /// - Parameters:
    ///   - folder: of the finished disks.
    ///   - environment: for the programs that it runs.
    init(_ disk: DebianDisk, folder: String, environment: [String: String]) {
        self.disk = disk
        self.folder = folder
        self.environment = environment
        image = DebianBuild.image(disk.architecture, in: folder)
        log = "\(folder)/debian-\(disk.architecture).log"
    }

    static func image(_ architecture: DebianDisk.Architecture, in folder: String) -> String { "\(folder)/debian-\(architecture).img" }

    /// One sentence's worth of what is missing on this host; empty: nothing is.
    static func needs(_ environment: [String: String]) -> String {
        let missing = DebianDisk.tools.filter { HostTool($0.program, environment: environment) == nil }.map(\.package)
        return missing.isEmpty ? "" : "install the Debian package\(missing.count == 1 ? "" : "s") \(missing.joined(separator: " "))"
    }

    /// Some minutes, most of them for fetching; `progress` is called whenever there is something new, `cancelled` often.
    /// - Throws: `.badInput` when programs are missing; `.failed` when one of them fails: its last words and where all of them are.
    public func run(progress: (Progress) -> Void, cancelled: () -> Int32?) throws(MachineError) -> Outcome {
        let needs = DebianBuild.needs(environment)
        guard needs.isEmpty else { throw .badInput("The guest '\(name)' cannot be made here: \(needs).") }
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw .failed("The folder '\(folder)' cannot be made: \(WholeFile.reason()).")
        }
        let lock = try takeLock()
        defer { close(lock) }
        try checkSpace()
        // Whoever left this behind is gone: we have the lock.
        let work = "\(folder)/.\(name).work"
        tidy(work)
        guard mkdir(work, 0o700) == 0 else { throw .failed("The folder '\(work)' cannot be made: \(WholeFile.reason()).") }
        defer { tidy(work) }
        return try make(in: work, progress, cancelled)
    }

    private func make(in work: String, _ report: (Progress) -> Void, _ cancelled: () -> Int32?) throws(MachineError) -> Outcome {
        let (tar, tree, owners, draft) = (work + "/root.tar", work + "/tree", work + "/owners", work + "/disk.img")
        var progress = DebianProgress(), said: [Substring] = []
        func enter(_ step: DebianProgress.Step) {
            progress.enter(step)
            report(Progress(title: progress.step.title, percent: progress.percent))
        }
        func listen(_ line: Substring) {
            said.append(line)
            let before = progress
            progress.read(line)
            if progress != before { report(Progress(title: progress.step.title, percent: progress.percent)) }
        }
        report(Progress(title: progress.step.title, percent: 0))
        let steps: [(step: DebianProgress.Step, tool: String, arguments: [String])] = [
            (.lists, "mmdebstrap", disk.bootstrap(tar: tar)),
            (.unpack, "fakeroot", disk.unpack(tar: tar, into: tree, owners: owners)),
            (.fileSystem, "fakeroot", disk.fileSystem(from: tree, owners: owners, image: draft)),
        ]
        guard mkdir(tree, 0o755) == 0 else { throw .failed("The folder '\(tree)' cannot be made: \(WholeFile.reason()).") }
        let scratch = try makeScratch(in: work)
        for (step, tool, arguments) in steps {
            enter(step)
            if step == .fileSystem {
                unlink(tar)
                try makeHole(draft)
            }
            switch try self.tool(tool, scratch: scratch).run(arguments, line: listen, cancelled: cancelled) {
            case .exited(0): break
            case .exited(let status): throw failure(tool, "ended with status \(status)", said)
            case .killed(let signal): throw failure(tool, "was killed by signal \(signal)", said)
            case .cancelled(let signal): return .cancelled(signal)
            }
        }
        enter(.bootLoader)
        let release = try finish(tree: tree, draft: draft)
        if let signal = cancelled() { return .cancelled(signal) }
        for (file, final) in release {
            guard rename(file, final) == 0 else { throw .failed("The file '\(final)' cannot be written: \(WholeFile.reason()).") }
        }
        unlink(log)
        report(Progress(title: "Ready", percent: 100))
        return .built
    }

    private func tool(_ name: String, scratch: String) throws(MachineError) -> HostTool {
        var environment = environment
        environment["TMPDIR"] = scratch
        guard let tool = HostTool(name, environment: environment) else { throw .badInput("The program '\(name)' is missing.") }
        return tool
    }

    // MARK: - Scratch folder

    private static let scratchPrefix = "vitrine-debian."
    private var scratchPlace: String { environment["TMPDIR"] ?? "/var/tmp" }

    /// A folder for a whole system, where other users of the host may write: what the packages' scripts make belongs to the numbers that
    /// the user namespace stands for. A link in the work folder leads to it.
    private func makeScratch(in work: String) throws(MachineError) -> String {
        var template = Array("\(scratchPlace)/\(DebianBuild.scratchPrefix)XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw .failed("No folder can be made in '\(scratchPlace)': \(WholeFile.reason()).") }
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard chmod(path, 0o1777) == 0, symlink(path, work + "/scratch") == 0 else {
            rmdir(path)
            throw .failed("The folder '\(path)' cannot be used: \(WholeFile.reason()).")
        }
        return path
    }

    /// Removes the work folder, and the scratch folder that it leads to. What belongs to other numbers is removed from within a user
    /// namespace; `mmdebstrap` does that itself unless it was killed.
    private func tidy(_ work: String) {
        if let scratch = try? FileManager.default.destinationOfSymbolicLink(atPath: work + "/scratch"),
            scratch.split(separator: "/").last?.hasPrefix(DebianBuild.scratchPrefix) == true
        {
            if let left = try? FileManager.default.contentsOfDirectory(atPath: scratch), !left.isEmpty,
                let helper = HostTool("mmdebstrap", environment: environment)
            {
                // Complains about what is ours; that is removed below.
                _ = try? helper.run(["--unshare-helper", "rm", "-rf", "--one-file-system", scratch], line: { _ in }, cancelled: { nil })
            }
            remove(scratch)
        }
        remove(work)
    }

    /// Boot loader into the disk; kernel and initial RAM disk out of it.
    /// - Returns: the files and the names that they shall have, the disk last.
    private func finish(tree: String, draft: String) throws(MachineError) -> [(String, String)] {
        let boot = try WholeFile.read(tree + DebianDisk.grub + "/boot.img", what: "boot code", limit: 1 << 16)
        let core = try WholeFile.read(tree + DebianDisk.grub + "/core.img", what: "core of the boot loader", limit: 1 << 22)
        let head: [UInt8]
        do {
            let start = UInt32(DebianDisk.partitionBytes / UInt64(GRUBDisk.sectorBytes))
            head = try GRUBDisk.head(
                boot: boot, core: core, signature: UInt32(disk.uuid.prefix(8), radix: 16) ?? 0, start: start,
                sectors: DebianDisk.diskBytes / UInt64(GRUBDisk.sectorBytes))
        } catch {
            throw .failed("The boot loader of the package grub-pc-bin cannot be put on the disk: \(error).")
        }
        let descriptor = open(draft, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .failed("The disk '\(draft)' cannot be written: \(WholeFile.reason()).") }
        defer { close(descriptor) }
        guard WholeFile.writeAll(descriptor, head), fsync(descriptor) == 0 else {
            throw .failed("The disk '\(draft)' cannot be written: \(WholeFile.reason()).")
        }
        var result: [(String, String)] = []
        for (link, suffix) in [("vmlinuz", "vmlinuz"), ("initrd.img", "initrd.img")] {
            // Links in the root of the file system, to a file in /boot: boot/vmlinuz-6.1.0-50-686.
            let target = (try? FileManager.default.destinationOfSymbolicLink(atPath: tree + "/" + link)) ?? ""
            guard target.hasPrefix("boot/"), !target.dropFirst(5).contains("/") else {
                throw .failed("The kernel's package left no '/\(link)' on the disk.")
            }
            result.append((tree + "/" + target, "\(folder)/\(name).\(suffix)"))
        }
        return result + [(draft, image)]
    }

    private func makeHole(_ path: String) throws(MachineError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .failed("The disk '\(path)' cannot be made: \(WholeFile.reason()).") }
        defer { close(descriptor) }
        guard ftruncate(descriptor, Int(DebianDisk.diskBytes)) == 0 else {
            throw .failed("The disk '\(path)' cannot be made: \(WholeFile.reason()).")
        }
    }

    private func takeLock() throws(MachineError) -> Int32 {
        let path = "\(folder)/.\(name).lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .failed("The file '\(path)' cannot be made: \(WholeFile.reason()).") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw MachineError(.wrongPlace, "The guest '\(name)' is being made by another vitrine; wait for it to end.")
        }
        return descriptor
    }

    private func checkSpace() throws(MachineError) {
        for (path, mebibytes) in [(folder, 3072), (scratchPlace, 1536)] {
            var facts = statvfs()
            guard statvfs(path, &facts) == 0 else { continue }
            let free = (UInt64(facts.f_bavail) * UInt64(facts.f_frsize)) >> 20
            guard free >= mebibytes else {
                throw .failed("Making the guest '\(name)' takes \(mebibytes) MiB in '\(path)', which has \(free) MiB free.")
            }
        }
    }

    /// The tool's own complaint, and where the rest is.
    private func failure(_ tool: String, _ how: String, _ said: [Substring]) -> MachineError {
        try? WholeFile.write(Array((said.joined(separator: "\n") + "\n").utf8), to: log, what: "log")
        // The first error says why, the later ones that the program therefore ended.
        let reason = said.first { $0.hasPrefix("E: ") } ?? said.last { !$0.allSatisfy(\.isWhitespace) }
        let words = reason.map { ": " + $0.trimmingPrefix("E: ").trimmingCharacters(in: CharacterSet(charactersIn: " .")) } ?? ""
        return .failed("The guest '\(name)' could not be made: \(tool) \(how)\(words); all that it said is in '\(log)'.")
    }

    /// A folder with all that is in it; folders that packages made read-only for their owner too.
    private func remove(_ path: String) {
        guard access(path, F_OK) == 0 else { return }
        let manager = FileManager.default
        if (try? manager.removeItem(atPath: path)) != nil { return }
        if let walk = manager.enumerator(atPath: path) {
            while let name = walk.nextObject() as? String {
                var facts = stat()
                // Never through a link: it may name a folder of the host.
                if lstat(path + "/" + name, &facts) == 0, facts.st_mode & S_IFMT == S_IFDIR { chmod(path + "/" + name, 0o700) }
            }
        }
        try? manager.removeItem(atPath: path)
    }
}
