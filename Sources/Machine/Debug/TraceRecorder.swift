import CPU
import Hardware
import Primitives

/// What goes into a trace file.
struct TraceWishes: Codable, Equatable, Sendable {
    var instructions = false, registers = false, memory = false
    /// Ports, software interrupts, external ones, exceptions.
    var ports = false, software = false, external = false, exceptions = false
    /// Calls, returns from interrupts.
    var calls = false, returns = false
    /// Linear addresses of instructions.
    var first: UInt64 = 0, last: UInt64 = .max
    /// Privilege levels, one bit each.
    var rings: UInt8 = 0xF

    var isEmpty: Bool { !(instructions || registers || memory || ports || software || external || exceptions || calls || returns) }
}

/// The recorders of the processors and the file that a trace goes to.
final class TraceRecorder {
    static let ringLimit = ExecutionRecorder.instructionLimit
    static let fileLimit: UInt64 = 1 << 30

    /// By command; a step records too.
    var keepsRing = false
    var wishes = TraceWishes()
    /// Instructions left to be written; nil: no end.
    var left: UInt64?
    private(set) var path: String?
    private var file: FilePort?
    private var written: UInt64 = 0
    private(set) var recorders: [ExecutionRecorder] = []

    /// Attaches to the processors what is wanted of them, or takes it away; the rings stay to be read.
    func attach(_ processors: [Processor], stepping: Bool) {
        let writes = file != nil && !wishes.isEmpty
        let wanted = keepsRing || stepping || writes
        if wanted, recorders.count != processors.count { recorders = processors.map { _ in ExecutionRecorder() } }
        for (number, processor) in processors.enumerated() { processor.recorder = wanted && recorders.indices.contains(number) ? recorders[number] : nil }
    }

    func open(_ path: String) throws(MachineError) {
        close()
        file = try FilePort(path: path, what: "trace")
        self.path = path
        written = 0
    }

    func close() {
        file?.finish()
        file = nil
        path = nil
    }

    var isFull: Bool { written >= TraceRecorder.fileLimit }

    func write(_ line: String) {
        guard let file, !isFull else { return }
        let bytes = Array(line.utf8) + [0x0A]
        written += UInt64(bytes.count)
        file.write(bytes)
    }
}

extension Debugger {
    /// After a change of what is wanted, and before the machine goes on.
    func attachRecorders() {
        recorder.attach(processors, stepping: isStepping)
        for (number, one) in recorder.recorders.enumerated() {
            one.sink = recorder.path == nil || recorder.wishes.isEmpty ? nil : { [weak self] event in self?.trace(event, number) }
        }
    }

    private func trace(_ event: ExecutionRecorder.Event, _ vcpu: Int) {
        let wishes = recorder.wishes
        switch event {
        case .instruction(let instruction): trace(instruction, vcpu)
        case .port(let port, let bytes, let write, let value):
            guard wishes.ports else { return }
            recorder.write("\(vcpu) \(write ? "out" : "in ") \(port.hex) \(8 * bytes) \(String(value, radix: 16))")
        case .delivery(let kind, let vector, let code):
            guard kind == .software ? wishes.software : kind == .external ? wishes.external : wishes.exceptions else { return }
            recorder.write("\(vcpu) \(kind.rawValue) \(vector.hex)" + (code.map { " error code \($0.hex)" } ?? ""))
        }
    }

    private func trace(_ instruction: ExecutionRecorder.Instruction, _ vcpu: Int) {
        let wishes = recorder.wishes
        guard instruction.linear >= wishes.first, instruction.linear <= wishes.last, wishes.rings >> instruction.cpl & 1 != 0 else { return }
        guard wishes.instructions || wishes.registers || wishes.memory || wishes.calls || wishes.returns else { return }
        let decoded = disassembler(instruction.mode.bits).decode(instruction.bytes, offset: instruction.offset)
        if !wishes.instructions {
            let isCall = decoded?.flow == .call && wishes.calls, isReturn = decoded?.text.hasPrefix("iret") == true && wishes.returns
            guard isCall || isReturn || wishes.registers || wishes.memory else { return }
        }
        let mode = instruction.mode, digits = mode == .long ? 16 : mode.isRealLike && instruction.offset <= 0xFFFF ? 4 : 8
        let place = "\(instruction.selector.hex):\(HexText.hex(instruction.offset, digits).uppercased())"
        var line = "\(vcpu) \(instruction.retired) \(place) \(decoded?.text ?? "(bad)")"
        if let name = symbols.text(instruction.linear) { line += "  <\(name)>" }
        guard let processor = processor(vcpu) else { return recorder.write(line) }
        if wishes.memory, let decoded, let found = operand(decoded, processor, instruction.linear) {
            line += "  [\(address(found.linear, processor))]" + (found.value.map { "=\(String($0, radix: 16))" } ?? "")
        }
        if wishes.registers {
            let state = processor.state
            let count = instruction.mode == .long ? 16 : 8
            line += "  " + (0..<count).map { "\(RegisterNames.long[$0])=\(String(state.gpr[$0], radix: 16))" }.joined(separator: " ")
                + " fl=\(String(processor.eflags, radix: 16))"
        }
        recorder.write(line)
        guard let left = recorder.left else { return }
        recorder.left = left - 1
        if left <= 1 { recorder.wishes = TraceWishes() }
    }

    // MARK: Reading

    /// - Parameter vcpu: nil: of the processor that questions are about.
    func branches(vcpu: Int? = nil) -> [DebugBranch] {
        let number = vcpu ?? selected
        guard recorder.recorders.indices.contains(number) else { return [] }
        return recorder.recorders[number].branches.map { branch in
            let decoded = disassembler(branch.from.mode.bits).decode(branch.from.bytes, offset: branch.from.offset)
            let kind: String =
                switch decoded?.flow {
                case .call: "call"
                case .ret: decoded?.text.hasPrefix("iret") == true ? "iret" : "ret"
                case .jump, .conditional: "jump"
                case .interrupt: "int"
                case .system: "syscall"
                case .plain, nil: decoded?.isLoop == true ? "jump" : "interrupt"
                }
            return DebugBranch(
                vcpu: number, from: branch.from.linear, to: branch.to, retired: branch.retired, kind: kind, label: symbols.text(branch.to))
        }
    }

    func history(_ count: Int, vcpu: Int? = nil) -> [DebugInstruction] {
        let number = vcpu ?? selected
        guard recorder.recorders.indices.contains(number) else { return [] }
        return recorder.recorders[number].instructions.suffix(count).map { entry in
            let decoded = disassembler(entry.mode.bits).decode(entry.bytes, offset: entry.offset)
            return DebugInstruction(
                linear: entry.linear, offset: entry.offset, bytes: Array(entry.bytes.prefix(decoded?.length ?? 15)), text: decoded?.text ?? "(bad)",
                label: symbols.label(entry.linear), isCurrent: false)
        }
    }
}
