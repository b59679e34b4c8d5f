import Machine
import Terminal

/// One stored machine as the manager shows it.
public struct MachineRow: Equatable, Sendable {
    public enum State: String, CaseIterable, Sendable {
        case off, saved, starting, running, paused, stuck, aborted
        /// Its file cannot be read.
        case broken

        /// As lists say it: colour is never the only sign.
        public var word: String { self == .broken ? "Broken" : rawValue.prefix(1).uppercased() + rawValue.dropFirst() }

        var glyph: String {
            switch self {
            case .off: "■"
            case .saved: "□"
            case .starting: "○"
            case .running: "●"
            case .paused: "‖"
            case .stuck, .aborted, .broken: "!"
            }
        }

        var role: Role {
            switch self {
            case .off, .saved: .stateOff
            case .starting, .running: .stateRunning
            case .paused: .statePaused
            case .stuck, .aborted, .broken: .stateError
            }
        }

        /// A process runs it.
        public var isAlive: Bool { [.starting, .running, .paused, .stuck].contains(self) }
        var takesCommands: Bool { self == .running || self == .paused }
        /// A Guru Meditation is ended by a reset too.
        var takesReset: Bool { takesCommands || self == .stuck }
        var canStart: Bool { [.off, .saved, .aborted].contains(self) }
        /// For sorting: what runs comes first.
        var rank: Int { [.running, .paused, .starting, .stuck, .saved, .aborted, .broken, .off].firstIndex(of: self) ?? 0 }
    }

    public var name: String
    public var state: State
    public var osType: String
    public var memoryMiB: Int
    public var cpus: Int
    public var group: String
    public var tags: [String]
    public var notes: String
    public var folder: String
    public var diskBytes: Int
    /// nil: the file cannot be read.
    public var settings: MachineSettings?
    public var uptimeSeconds: Int?
    /// Percent of one host processor.
    public var load: Int?
    public var mips: Double?
    /// What is wrong with its file: one sentence.
    public var problem: String?

    public init(
        name: String, state: State = .off, osType: String = "", memoryMiB: Int = 0, cpus: Int = 1, group: String = "", tags: [String] = [],
        notes: String = "", folder: String = "", diskBytes: Int = 0, settings: MachineSettings? = nil, uptimeSeconds: Int? = nil, load: Int? = nil,
        mips: Double? = nil, problem: String? = nil
    ) {
        self.name = name
        self.state = state
        self.osType = osType
        self.memoryMiB = memoryMiB
        self.cpus = cpus
        self.group = group
        self.tags = tags
        self.notes = notes
        self.folder = folder
        self.diskBytes = diskBytes
        self.settings = settings
        self.uptimeSeconds = uptimeSeconds
        self.load = load
        self.mips = mips
        self.problem = problem
    }

    /// What the filter looks through.
    var haystack: String { "\(name) \(state.word) \(osType) \(group) \(tags.joined(separator: " "))".lowercased() }
}

/// Columns that the list can be sorted by.
public enum MachineOrder: String, CaseIterable, Sendable {
    case name, state, system, memory, uptime, load, group, tag

    func precedes(_ a: MachineRow, _ b: MachineRow) -> Bool {
        switch self {
        case .name: return Self.byName(a, b)
        case .state: return a.state.rank == b.state.rank ? Self.byName(a, b) : a.state.rank < b.state.rank
        case .system: return a.osType == b.osType ? Self.byName(a, b) : a.osType < b.osType
        case .memory: return a.memoryMiB == b.memoryMiB ? Self.byName(a, b) : a.memoryMiB > b.memoryMiB
        case .uptime:
            let (x, y) = (a.uptimeSeconds ?? -1, b.uptimeSeconds ?? -1)
            return x == y ? Self.byName(a, b) : x > y
        case .load:
            let (x, y) = (a.load ?? -1, b.load ?? -1)
            return x == y ? Self.byName(a, b) : x > y
        case .tag:
            // Without one last.
            let (x, y) = (a.tags.first, b.tags.first)
            if x == y { return Self.byName(a, b) }
            return x == nil ? false : y == nil ? true : (x ?? "") < (y ?? "")
        case .group:
            // Without a group last.
            if a.group == b.group { return Self.byName(a, b) }
            return a.group.isEmpty ? false : b.group.isEmpty ? true : a.group < b.group
        }
    }

    /// `vm2` before `vm10`.
    static func byName(_ a: MachineRow, _ b: MachineRow) -> Bool {
        var x = Array(a.name.lowercased().unicodeScalars)[...], y = Array(b.name.lowercased().unicodeScalars)[...]
        let digits: ClosedRange<Unicode.Scalar> = "0"..."9"
        while let p = x.first, let q = y.first {
            if digits.contains(p), digits.contains(q) {
                let m = x.prefix { digits.contains($0) }, n = y.prefix { digits.contains($0) }
                let (u, v) = (m.drop { $0 == "0" }, n.drop { $0 == "0" })
                if u.count != v.count { return u.count < v.count }
                if !u.elementsEqual(v) { return u.lexicographicallyPrecedes(v) }
                (x, y) = (x.dropFirst(m.count), y.dropFirst(n.count))
            } else if p != q {
                return p < q
            } else {
                (x, y) = (x.dropFirst(), y.dropFirst())
            }
        }
        return x.count == y.count ? a.name < b.name : x.count < y.count
    }
}

/// Numbers as narrow columns say them.
enum Amount {
    static func memory(_ mib: Int) -> String {
        if mib >= 1024 { return mib % 1024 == 0 ? "\(mib / 1024)G" : "\(mib / 1024).\(mib % 1024 * 10 / 1024)G" }
        return "\(mib)M"
    }

    static func uptime(_ seconds: Int) -> String {
        switch seconds {
        case ..<60: return "\(max(0, seconds))s"
        case ..<3600: return "\(seconds / 60)m"
        case ..<36000: return "\(seconds / 3600)h\(seconds / 60 % 60 < 10 ? "0" : "")\(seconds / 60 % 60)"
        case ..<86400: return "\(seconds / 3600)h"
        default: return "\(seconds / 86400)d"
        }
    }

    static func bytes(_ count: Int) -> String {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
        var tenths = max(0, count) * 10, unit = 0
        while tenths >= 10240, unit < units.count - 1 {
            tenths /= 1024
            unit += 1
        }
        return unit == 0 || tenths >= 1000 || tenths % 10 == 0 ? "\(tenths / 10) \(units[unit])" : "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }

    static func count(_ n: Int, _ one: String, _ many: String) -> String { n == 1 ? "1 \(one)" : "\(n) \(many)" }
}

extension MachineRow {
    /// Takes over what settings say; nil: they cannot be read.
    public mutating func apply(_ new: MachineSettings?) {
        settings = new
        guard let new else { return }
        osType = OSType.named(new.osType)?.title ?? new.osType
        memoryMiB = new.run.memoryMiB
        cpus = new.run.cpus
        group = new.group
        tags = new.tags
        notes = new.notes
    }
}
