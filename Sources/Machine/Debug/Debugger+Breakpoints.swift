import CPU
import Hardware
import Primitives

// Breakpoints: what they stop at, when they count, what they do.
extension Debugger {
    /// More are refused.
    static let breakpointLimit = 1000

    // MARK: The list

    /// - Returns: the breakpoint with its number.
    func set(_ new: Breakpoint) throws(ExpressionError) -> Breakpoint {
        var new = new
        var condition: Expression?
        if let text = new.condition { condition = try Expression(text) }
        if let log = new.log { _ = try LogFormat(log) }
        switch new.kind {
        case .execution(let place): try check(place)
        case .memory(let place, let length, let reads, let writes):
            try check(place)
            guard length > 0, reads || writes else { throw ExpressionError(sentence: "A watch needs a length, and reads or writes to watch for.") }
        case .port(let first, let last, let reads, let writes):
            guard first <= last, reads || writes else { throw ExpressionError(sentence: "The ports of a breakpoint are FIRST to LAST.") }
        case .sensitive(let word?):
            guard SensitiveInstruction(word: word) != nil else { throw ExpressionError(sentence: "'\(word)' is none of the sensitive instructions.") }
        default: break
        }
        if let index = breakpoints.firstIndex(where: { $0.number == new.number }) {
            breakpoints[index] = new
        } else {
            guard breakpoints.count < Debugger.breakpointLimit else { throw ExpressionError(sentence: "There are too many breakpoints.") }
            if new.number <= 0 || new.number < nextNumber && new.number > 0 { new.number = nextNumber }
            nextNumber = max(nextNumber, new.number) + 1
            breakpoints.append(new)
        }
        conditions[new.number] = condition
        breakpointsAreNew()
        return new
    }

    private func check(_ place: DebugPlace) throws(ExpressionError) {
        if case .failure(let error) = linear(place, processor(nil)) { throw error }
    }

    /// 0: all. False: there is none.
    func delete(_ number: Int) -> Bool {
        let count = breakpoints.count
        breakpoints.removeAll { number == 0 || $0.number == number }
        if number == 0 { conditions = [:] } else { conditions[number] = nil }
        breakpointsAreNew()
        return breakpoints.count != count
    }

    func enable(_ number: Int, _ isEnabled: Bool) -> Bool {
        var found = false
        for index in breakpoints.indices where number == 0 || breakpoints[index].number == number {
            breakpoints[index].isEnabled = isEnabled
            found = true
        }
        if found { breakpointsAreNew() }
        return found
    }

    private func breakpointsAreNew() {
        replaceStops()
        breakpointsChanged()
    }

    // MARK: Places

    /// Linear address of a place; for a physical one, the address itself.
    func linear(_ place: DebugPlace, _ processor: Processor?) -> Result<Linear, ExpressionError> {
        guard let processor else { return .failure(ExpressionError(sentence: "There is no processor.")) }
        switch place {
        case .linear(let address), .physical(let address): return .success(address)
        case .far(let selector, let offset):
            // Without such a descriptor it is meant as real mode has it: breakpoints are often set long before that.
            return .success((processor.peekSegment(selector)?.base ?? UInt64(selector) << 4) &+ offset)
        case .text(let text):
            do throws(ExpressionError) { return .success(try Expression(text, radix: 16).value(context(processor))) } catch { return .failure(error) }
        }
    }

    /// What a text says is a place of its own kind: `phys:x`, a far pointer with numbers, or something to be worked out anew.
    func add(_ kind: Breakpoint.Kind, to points: inout StopPoints) {
        let processor = processor(nil)
        switch kind {
        case .execution(.linear(let address)): points.linear.insert(address)
        case .execution(.physical(let address)): points.physical.insert(address)
        case .execution(.far(let selector, let offset)): points.far.insert(.init(selector: selector, offset: offset))
        case .execution(let place): if case .success(let address) = linear(place, processor) { points.linear.insert(address) }
        case .memory(let place, let length, let reads, let writes):
            guard case .success(let first) = linear(place, processor) else { return }
            var isPhysical = false
            if case .physical = place { isPhysical = true }
            let (last, overflow) = first.addingReportingOverflow(length - 1)
            points.watches.append(.init(isPhysical: isPhysical, first: first, last: overflow ? .max : last, reads: reads, writes: writes))
        case .port(let first, let last, let reads, let writes): points.ports.append(.init(ports: first...max(first, last), reads: reads, writes: writes))
        case .software(let vector, _, _): points.software.insert(vector)
        case .external(let vector): points.external.insert(vector)
        case .exception(let vector): points.exceptions.insert(vector)
        case .taskSwitch: points.taskSwitches = true
        case .modeSwitch: points.modes = true
        case .ringSwitch: points.rings = true
        case .sensitive(let word):
            points.sensitive.formUnion(word.map { SensitiveInstruction(word: $0).map { [$0] } ?? [] } ?? SensitiveInstruction.allCases)
        case .magic: points.magic = true
        }
    }

    func matches(_ kind: Breakpoint.Kind, _ hit: DebugHit, _ vcpu: Int) -> Bool {
        guard let processor = processor(vcpu) else { return false }
        switch (kind, hit) {
        case (.execution(let place), .place(let linear)):
            switch place {
            case .linear(let address): return address == linear
            case .physical(let address): return processor.peekPhysical(linear).map(processor.memory.gate) == address
            case .far(let selector, let offset): return processor.state.seg[Seg.cs].selector == selector && processor.state.rip == offset
            case .text: return self.linear(place, processor) == .success(linear)
            }
        case (.memory(let place, let length, let reads, let writes), .memory(let linear, let physical, let bytes, let write)):
            guard write ? writes : reads, case .success(let first) = self.linear(place, processor) else { return false }
            var at = linear
            if case .physical = place { at = physical ?? processor.peekPhysical(linear).map(processor.memory.gate) ?? linear }
            return at <= first &+ (length - 1) && at &+ UInt64(max(bytes, 1) - 1) >= first
        case (.memory(let place, let length, _, let writes), .device(let address, let isPhysical, let bytes)):
            guard writes, case .success(let first) = self.linear(place, processor) else { return false }
            if case .physical = place { guard isPhysical else { return false } } else if isPhysical { return false }
            return address <= first &+ (length - 1) && address &+ UInt64(max(bytes, 1) - 1) >= first
        case (.port(let first, let last, let reads, let writes), .port(let port, let bytes, let write, _)):
            return (write ? writes : reads) && port <= last && Int(port) + bytes - 1 >= Int(first)
        case (.software(let vector, let ah, let al), .event(.software, let met, _, _, _, let rax)):
            return vector == met && ah.map { UInt8(truncatingIfNeeded: rax >> 8) == $0 } ?? true && al.map { UInt8(truncatingIfNeeded: rax) == $0 } ?? true
        case (.external(let vector), .event(.external, let met, _, _, _, _)): return vector == met
        case (.exception(let vector), .event(.exception, let met, _, _, _, _)): return vector == met
        case (.sensitive(let word), .sensitive(let what, _, _, _)): return word == nil || word == what.word
        case (.taskSwitch, .task), (.modeSwitch, .mode), (.ringSwitch, .ring), (.magic, .magic): return true
        default: return false
        }
    }

    // MARK: Meeting one

    /// A breakpoint has been hit: condition, count, actions.
    func meet(_ number: Int, _ hit: DebugHit, _ vcpu: Int) {
        guard let index = breakpoints.firstIndex(where: { $0.number == number }), let processor = processor(vcpu) else { return }
        let context = context(processor, hit)
        if let condition = conditions[number] {
            do throws(ExpressionError) {
                guard try condition.value(context) != 0 else { return }
            } catch {
                // A condition that cannot be worked out must not go unnoticed.
                tell("Breakpoint \(number): \(error.sentence)")
            }
        }
        breakpoints[index].hits &+= 1
        let breakpoint = breakpoints[index]
        guard breakpoint.hits > breakpoint.ignore else { return }
        if let log = breakpoint.log { tell(LogFormat.line(log, context)) }
        if let name = breakpoint.snapshot { takeSnapshot("\(name)-\(breakpoint.hits)") }
        for command in breakpoint.commands { for line in carryOut(command, fromBreakpoint: true) { tell(line) } }
        if breakpoint.isTemporary { _ = delete(number) }
        guard breakpoint.stops else { return }
        var access: DebugStop.Access?
        switch hit {
        case .memory(let linear, _, let bytes, let write): access = .init(address: linear, bytes: bytes, isWrite: write)
        case .device(let address, false, let bytes): access = .init(address: address, bytes: bytes, isWrite: true)
        default: break
        }
        finish(.breakpoint, "Breakpoint \(number): \(describe(hit, processor))", number: number, vcpu: vcpu, access: access)
    }

    /// What has happened, in a few words.
    func describe(_ hit: DebugHit, _ processor: Processor) -> String {
        func far(_ selector: UInt16, _ offset: UInt64) -> String { selector.hex + ":" + address(offset, processor) }
        let here = far(processor.state.seg[Seg.cs].selector, processor.state.rip)
        switch hit {
        case .place(let linear): return "at \(here)" + (symbols.text(linear).map { " (\($0))" } ?? "")
        case .magic: return "xchg bx, bx before \(here)"
        case .memory(let linear, _, let bytes, let write):
            let value = processor.peek(linear, count: bytes)
            let shown = value.isWhole && !value.bytes.isEmpty ? " = " + value.bytes.reversed().map(\.hex).joined() : ""
            return "\(write ? "write" : "read") of \(bytes) at \(address(linear, processor))\(shown), before \(here)"
        case .device(let place, let isPhysical, let bytes):
            let shown = isPhysical ? "phys:" + String(place, radix: 16, uppercase: true) : address(place, processor)
            return "write of \(bytes) at \(shown) by a device (DMA), before \(here)"
        case .port(let port, let bytes, let write, let value):
            let digits = String(value, radix: 16, uppercase: true)
            return "\(write ? "OUT" : "IN") \(port.hex) \(8 * bytes) bits, \(digits), before \(here)"
        case .event(let kind, let vector, let code, let selector, let offset, let rax):
            let name = kind == .software ? "INT" : kind == .external ? "interrupt" : "exception"
            let extra = kind == .software ? " AX=\(UInt16(truncatingIfNeeded: rax).hex)" : code.map { " error code \($0.hex)" } ?? ""
            return "\(name) \(vector.hex)\(extra) at \(far(selector, offset))"
        case .task(let selector): return "task switch to \(selector.hex)"
        case .mode(let from, let to): return "mode \(from.rawValue) to \(to.rawValue)"
        case .ring(let from, let to): return "ring \(from) to \(to)"
        case .sensitive(let what, let place, let selector, let offset):
            let digits = offset <= 0xFFFF ? UInt16(offset).hex : UInt32(truncatingIfNeeded: offset).hex
            return "\(what.name) in \(place == .real ? "real mode" : place.name) at \(selector.hex):\(digits)"
        }
    }

    /// As wide as the mode's addresses are.
    func address(_ value: UInt64, _ processor: Processor) -> String {
        switch processor.executionMode {
        case .real, .virtual8086: value <= 0xFFFF ? UInt16(value).hex : UInt32(truncatingIfNeeded: value).hex
        case .long: value.hex
        default: UInt32(truncatingIfNeeded: value).hex
        }
    }
}

/// A line with `{expression}` in it; `{expression:d}` is decimal, `:x` hexadecimal (when not given), `:c` a character, `:s` text at that
/// address, up to 80 bytes.
struct LogFormat {
    private enum Part {
        case text(String)
        case value(Expression, Character)
    }
    private var parts: [Part] = []

    init(_ text: String) throws(ExpressionError) {
        var rest = text[...]
        while let open = rest.firstIndex(of: "{") {
            parts.append(.text(String(rest[..<open])))
            guard let close = rest[open...].firstIndex(of: "}") else { throw ExpressionError(sentence: "In the line to log a '}' is missing.") }
            var inner = rest[rest.index(after: open)..<close]
            var format: Character = "x"
            if let colon = inner.lastIndex(of: ":"), let last = inner.last, "xdcs".contains(last), inner.index(colon, offsetBy: 2) == inner.endIndex {
                format = last
                inner = inner[..<colon]
            }
            parts.append(.value(try Expression(String(inner)), format))
            rest = rest[rest.index(after: close)...]
        }
        parts.append(.text(String(rest)))
    }

    /// What cannot be worked out is a `?`.
    static func line(_ text: String, _ context: some ExpressionContext) -> String {
        guard let format = try? LogFormat(text) else { return text }
        return format.parts.map { part in
            guard case .value(let expression, let format) = part else {
                if case .text(let text) = part { return text }
                return ""
            }
            guard let value = try? expression.value(context) else { return "?" }
            switch format {
            case "d": return String(value)
            case "c": return (0x20...0x7E).contains(value) ? String(UnicodeScalar(UInt8(value))) : "."
            case "s":
                var bytes: [UInt8] = []
                while bytes.count < 80, let byte = context.load(value &+ UInt64(bytes.count), bytes: 1, physical: false), byte != 0 {
                    bytes.append(UInt8(truncatingIfNeeded: byte))
                }
                return bytes.map { (0x20...0x7E).contains($0) ? String(UnicodeScalar($0)) : "." }.joined()
            default: return String(value, radix: 16)
            }
        }.joined()
    }
}

/// One processor and the machine around it, for expressions.
struct DebugContext: ExpressionContext {
    let processor: Processor
    let symbols: SymbolTable
    /// What the condition is about: `$value`, `$address`, `$error`, `$vector`.
    var hit: DebugHit?

    func register(_ name: String) -> UInt64? {
        // Expressions hand `$name` over without its mark; only that way do flags with hexadecimal names come here first.
        if let value = RegisterNames.value(name, of: processor, marked: false) { return value }
        return special(name)
    }

    func special(_ name: String) -> UInt64? {
        switch (hit, name.lowercased()) {
        case (.memory(let linear, _, _, _), "address"): linear
        case (.memory(let linear, _, let bytes, _), "value"): load(linear, bytes: min(bytes, 8), physical: false)
        case (.device(let address, _, _), "address"): address
        case (.device(let address, let isPhysical, let bytes), "value"): load(address, bytes: min(bytes, 8), physical: isPhysical)
        case (.port(let port, _, _, _), "address"), (.port(let port, _, _, _), "port"): UInt64(port)
        case (.port(_, _, _, let value), "value"): UInt64(value)
        case (.event(_, let vector, _, _, _, _), "vector"): UInt64(vector)
        case (.event(_, _, let code, _, _, _), "error"): UInt64(code ?? 0)
        default: nil
        }
    }

    func marked(_ name: String) -> UInt64? { RegisterNames.value(name, of: processor, marked: true) ?? special(name) }

    func symbol(_ name: String) -> UInt64? { symbols.address(name) }

    func linear(selector: UInt64, offset: UInt64) -> UInt64? {
        guard selector <= 0xFFFF else { return nil }
        return (processor.peekSegment(UInt16(selector))?.base ?? selector << 4) &+ offset
    }

    func base(ofSegment name: String) -> UInt64? {
        RegisterNames.segments.firstIndex(of: name.lowercased()).map { processor.state.seg[$0].base }
    }

    func load(_ address: UInt64, bytes: Int, physical: Bool) -> UInt64? {
        let found = physical ? processor.peek(physical: address, count: bytes) : processor.peek(address, count: bytes)
        guard found.isWhole else { return nil }
        return found.bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    var wordBytes: Int { processor.executionMode.bits / 8 }
}

extension Debugger {
    func context(_ processor: Processor, _ hit: DebugHit? = nil) -> DebugContext {
        DebugContext(processor: processor, symbols: symbols, hit: hit)
    }
}
