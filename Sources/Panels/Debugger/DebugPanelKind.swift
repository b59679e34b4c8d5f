import Terminal

/// What the debugger can show.
public enum DebugPanelKind: String, CaseIterable, Sendable {
    case code, registers, memory, stack, breakpoints, branches, output, screen, history
    case fpu, vectors, msrs, gdt, ldt, idt, tss, walk, tlb, interrupts, pci, devices, activity, census, timeline

    public var title: String {
        switch self {
        case .code: "Code"
        case .registers: "Registers"
        case .memory: "Memory"
        case .stack: "Stack"
        case .breakpoints: "Breakpoints"
        case .branches: "Branches"
        case .output: "Commands"
        case .screen: "Screen"
        case .history: "Last instructions"
        case .fpu: "x87 and MMX"
        case .vectors: "SSE and AVX"
        case .msrs: "Model-specific registers"
        case .gdt: "GDT"
        case .ldt: "LDT"
        case .idt: "IDT and IVT"
        case .tss: "TSS"
        case .walk: "Page walk"
        case .tlb: "TLB"
        case .interrupts: "Interrupt controllers"
        case .pci: "PCI"
        case .devices: "Devices"
        case .activity: "Activity"
        case .census: "Census"
        case .timeline: "Timeline"
        }
    }

    /// As tabs have it.
    var short: String {
        switch self {
        case .code: "Code"
        case .registers: "Regs"
        case .memory: "Mem"
        case .stack: "Stack"
        case .breakpoints: "Breaks"
        case .branches: "Calls"
        case .output: "Cmds"
        case .screen: "Screen"
        default: title
        }
    }

    /// Those that have a key of their own, in its order.
    static let numbered: [DebugPanelKind] = [.code, .registers, .memory, .stack, .breakpoints, .branches, .output, .screen, .history]

    /// It follows the machine: read again at every stop.
    var isLive: Bool { self != .output && self != .screen }
}

/// One line of a panel: pieces of text with what they mean.
struct DebugLine: Equatable, Sendable {
    struct Span: Equatable, Sendable {
        var text: String
        var role: Role
        /// The register whose value this is, as `set` names it, where it can be changed.
        var register: String?
    }
    var spans: [Span]
    /// Over the whole line: the next instruction, a breakpoint.
    var role: Role?

    init(_ spans: [Span], role: Role? = nil) { (self.spans, self.role) = (spans, role) }
    init(_ text: String, _ role: Role = .list) { self.init([Span(text: text, role: role)]) }

    /// Adds to the end.
    mutating func add(_ text: String, _ role: Role = .list, register: String? = nil) { spans.append(Span(text: text, role: role, register: register)) }

    var text: String { spans.map(\.text).joined() }

    /// - Parameter over: of the line that the keyboard is at.
    func draw(column: Int, row: Int, width: Int, over: Role?, on surface: inout Surface) {
        let whole = over ?? role
        if let whole { surface.fill(Rect(x: column, y: row, width: width, height: 1), whole) }
        var x = column
        for span in spans where x < column + width {
            x = surface.put(span.text, whole ?? span.role, column: x, row: row, limit: column + width - x)
        }
    }
}

/// Numbers for panels.
enum DebugText {
    static func hex(_ value: UInt64, _ digits: Int) -> String {
        let text = String(value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }

    static func left(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
    static func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }

    /// 8 or 16 digits, as it needs.
    static func address(_ value: UInt64) -> String { hex(value, value >> 32 == 0 ? 8 : 16) }
}
