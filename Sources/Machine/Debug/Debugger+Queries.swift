import CPU
import Hardware
import Primitives

// Answers to structured questions: for panels, gdb and the command line alike.
extension Debugger {
    func answer(_ request: DebugRequest) -> DebugReply {
        guard request.queries.count <= DebugRequest.queryLimit else { return .refused(request, "That is too much in one request.") }
        return DebugReply(answers: request.queries.map(reply), stop: stop)
    }

    func reply(_ query: DebugQuery) -> DebugAnswer {
        switch query {
        case .command(let line):
            do throws(ExpressionError) { return .lines(try perform(line)) } catch { return .failure(error.sentence) }
        case .complete(let line): return .lines(complete(line))
        case .registers(let vcpu): return with(vcpu) { .registers(registers($0, vcpu)) }
        case .setRegister(let name, let value, let vcpu):
            return with(vcpu) { processor in RegisterNames.set(name, value, of: processor).map { .failure($0) } ?? .done }
        case .memory(let place, let count, let vcpu):
            return with(vcpu) { processor in
                guard (0...DebugRequest.memoryLimit).contains(count) else { return .failure("At most 64 KiB of memory are read at once.") }
                return memory(place, count, processor).map { .memory($0) }.get(or: DebugAnswer.failure)
            }
        case .poke(let place, let bytes, let vcpu):
            return with(vcpu) { processor in
                guard bytes.count <= DebugRequest.memoryLimit else { return .failure("At most 64 KiB of memory are written at once.") }
                return poke(place, bytes, processor).map { .failure($0) } ?? .done
            }
        case .disassembly(let place, let before, let count, let bits, let vcpu):
            return with(vcpu) { processor in
                guard (0...500).contains(before), (0...2000).contains(count), bits.map({ [16, 32, 64].contains($0) }) ?? true else {
                    return .failure("At most 500 lines before and 2,000 after a place are shown, as 16, 32 or 64-bit code.")
                }
                var start = processor.linearRIP
                if let place {
                    switch codePlace(place, processor) {
                    case .success(let address): start = address
                    case .failure(let error): return .failure(error.sentence)
                    }
                }
                return .instructions(disassemble(processor, at: start, before: before, count: count, bits: bits))
            }
        case .evaluate(let text, let vcpu):
            return with(vcpu) { processor in
                do throws(ExpressionError) { return .value(try Expression(text).value(context(processor))) } catch { return .failure(error.sentence) }
            }
        case .breakpoints: return .breakpoints(breakpoints)
        case .setBreakpoint(let new):
            do throws(ExpressionError) { return .breakpoints([try set(new)]) } catch { return .failure(error.sentence) }
        case .deleteBreakpoint(let number): return delete(number) || number == 0 ? .done : .failure("There is no breakpoint \(number).")
        case .enableBreakpoint(let number, let enabled): return enable(number, enabled) ? .done : .failure("There is no breakpoint \(number).")
        case .branches: return .branches(branches())
        case .history(let count): return .instructions(history(max(0, min(count, TraceRecorder.ringLimit))))
        case .table(let kind, let vcpu): return with(vcpu) { .table(DebugTable(kind, $0)) }
        case .walk(let linear, let vcpu): return with(vcpu) { .walk($0.peekWalk(linear)) }
        case .translations(let vcpu): return with(vcpu) { .translations($0.heldTranslations) }
        case .pci: return .pci(pc.pciReports)
        case .devices: return .devices(pc.chipReports)
        case .census: return .lines(CensusReport.text(pc.census).split(separator: "\n").map(String.init))
        case .activity(let count): return .lines(FactsTaker.events(pc, count: max(0, min(count, 4096))))
        case .go, .timeline, .record: return .failure("The run loop carries this out.")
        }
    }

    private func with(_ vcpu: Int?, _ body: (Processor) -> DebugAnswer) -> DebugAnswer {
        if let vcpu, !processors.indices.contains(vcpu) { return .failure("There is no processor \(vcpu).") }
        guard let processor = processor(vcpu) else { return .failure("There is no processor.") }
        return body(processor)
    }

    func registers(_ processor: Processor, _ vcpu: Int?) -> DebugRegisters {
        DebugRegisters(processor, number: vcpu ?? selected, of: processors.count, a20: processor.memory.a20, time: pc.now())
    }

    // MARK: Memory

    func memory(_ place: DebugPlace, _ count: Int, _ processor: Processor) -> Result<DebugMemory, ExpressionError> {
        if case .physical(let address) = place { return .success(physical(address, count, processor)) }
        if case .text(let text) = place, let rest = text.withoutPrefix("phys:") {
            do throws(ExpressionError) {
                return .success(physical(try Expression(rest, radix: 16).value(context(processor)), count, processor))
            } catch { return .failure(error) }
        }
        return linear(place, processor).map { address in
            let found = processor.peek(address, count: count)
            return DebugMemory(address: address, isPhysical: false, bytes: found.bytes, missing: found.missing)
        }
    }

    private func physical(_ address: Physical, _ count: Int, _ processor: Processor) -> DebugMemory {
        let found = processor.peek(physical: address, count: count)
        return DebugMemory(address: address, isPhysical: true, bytes: found.bytes, missing: found.missing)
    }

    /// - Returns: why it cannot be; nil: it is done.
    func poke(_ place: DebugPlace, _ bytes: [UInt8], _ processor: Processor) -> String? {
        if case .physical(let address) = place {
            return processor.poke(physical: address, bytes).map { "There is no memory to write at \($0.hex)." }
        }
        switch linear(place, processor) {
        case .failure(let error): return error.sentence
        case .success(let address):
            let done = processor.poke(address, bytes)
            return done == bytes.count ? nil : "There is no memory to write at \((address &+ UInt64(done)).hex)."
        }
    }

    // MARK: Code

    private func codePlace(_ place: DebugPlace, _ processor: Processor) -> Result<Linear, ExpressionError> { linear(place, processor) }

    /// Instructions from `before` lines above a linear address on.
    func disassemble(_ processor: Processor, at start: Linear, before: Int, count: Int, bits: Int? = nil) -> [DebugInstruction] {
        let bits = bits ?? processor.executionMode.bits
        let disassembler = disassembler(bits)
        let base = processor.state.seg[Seg.cs].base
        let mask: UInt64 = processor.executionMode == .long ? .max : 0xFFFF_FFFF
        var lines: [DebugInstruction] = []
        var at = start
        for address in InstructionFinder(processor, disassembler, base: base).starts(before: start, count: before) {
            lines.append(line(processor, disassembler, address, base, limit: Int(clamping: start &- address)))
        }
        for _ in 0..<count {
            let line = line(processor, disassembler, at, base, limit: Disassembler.longest)
            lines.append(line)
            at = (at &+ UInt64(max(line.bytes.count, 1))) & mask
        }
        return lines
    }

    private func line(_ processor: Processor, _ disassembler: Disassembler, _ linear: Linear, _ base: UInt64, limit: Int) -> DebugInstruction {
        let offset = (linear &- base) & (processor.executionMode == .long ? .max : 0xFFFF_FFFF)
        let found = processor.peek(linear, count: min(limit, Disassembler.longest))
        var readable = found.bytes
        if let gap = found.missing.first { readable = Array(readable[..<gap.lowerBound]) }
        let current = linear == processor.linearRIP
        var line = DebugInstruction(
            linear: linear, offset: offset, bytes: Array(readable.prefix(1)), text: readable.isEmpty ? "??" : "db 0x\(readable[0].hex.lowercased())",
            label: symbols.label(linear), isCurrent: current)
        if let breakpoint = breakpoints.first(where: { if case .execution(let place) = $0.kind { place.isAt(linear, self, processor) } else { false } }) {
            line.breakpoint = breakpoint.isEnabled ? breakpoint.number : -breakpoint.number
        }
        guard let decoded = disassembler.decode(readable, offset: offset) else { return line }
        line.bytes = Array(readable.prefix(decoded.length))
        line.text = decoded.text
        if let target = decoded.target {
            let address = base &+ target
            line.target = address
            if let name = symbols.text(address), let space = decoded.text.lastIndex(of: " ") {
                line.text = decoded.text[...space] + name
            }
        }
        if current {
            line.operand = operand(decoded, processor, linear)
            if let condition = decoded.condition { line.isTaken = processor.meets(condition) }
        }
        if let memory = decoded.memory, memory.base == nil, memory.index == nil {
            let address = memory.isRelative ? linear &+ UInt64(decoded.length) &+ memory.displacement : memory.displacement
            if memory.isRelative || memory.displacement > 0xFFFF, let name = symbols.text(address) { line.text += "  ; \(name)" }
        }
        return line
    }

    /// Linear address and contents of a memory operand, as the registers are now.
    func operand(_ decoded: DecodedInstruction, _ processor: Processor, _ linear: Linear) -> DebugInstruction.Operand? {
        guard let memory = decoded.memory else { return nil }
        let state = processor.state
        var offset = memory.displacement
        if memory.isRelative { offset &+= state.rip &+ UInt64(decoded.length) }
        if let base = memory.base { offset &+= state.gpr[base] & RegisterNames.mask(memory.addressBits) }
        if let index = memory.index { offset &+= (state.gpr[index] & RegisterNames.mask(memory.addressBits)) &* memory.scale }
        offset &= RegisterNames.mask(memory.addressBits)
        let long = processor.executionMode == .long
        let address = long && memory.segment < 4 ? offset : (state.seg[memory.segment].base &+ offset) & (long ? .max : 0xFFFF_FFFF)
        guard memory.bytes > 0 else { return DebugInstruction.Operand(linear: address, bytes: 0, value: nil) }
        let found = processor.peek(address, count: min(memory.bytes, 8))
        let value = found.isWhole ? found.bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) } : nil
        return DebugInstruction.Operand(linear: address, bytes: memory.bytes, value: value)
    }
}

extension DebugPlace {
    fileprivate func isAt(_ linear: Linear, _ debugger: Debugger, _ processor: Processor) -> Bool {
        if case .physical(let address) = self { return processor.peekPhysical(linear) == address }
        return debugger.linear(self, processor) == .success(linear)
    }
}

extension Result where Failure == ExpressionError {
    /// The value, or what the failure's sentence makes.
    func get(or other: (String) -> Success) -> Success {
        switch self {
        case .success(let value): value
        case .failure(let error): other(error.sentence)
        }
    }
}

extension String {
    func withoutPrefix(_ prefix: String) -> String? { lowercased().hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil }
}

/// Where the instructions before a place begin. x86 code cannot be read backwards: all ways of reading the bytes above that arrive at the
/// place are weighed, and what has been carried out lately counts more than anything else.
struct InstructionFinder {
    private let processor: Processor
    private let disassembler: Disassembler
    private let base: UInt64

    init(_ processor: Processor, _ disassembler: Disassembler, base: UInt64) {
        (self.processor, self.disassembler, self.base) = (processor, disassembler, base)
    }

    func starts(before place: Linear, count: Int) -> [Linear] {
        guard count > 0 else { return [] }
        let reach = min(count * 8 + 64, 4096)
        let first = place &- UInt64(reach)
        guard first < place else { return [] }
        let found = processor.peek(first, count: reach + Disassembler.longest)
        // From the last byte on that is no memory.
        var from = 0
        for gap in found.missing where gap.lowerBound < reach { from = min(gap.upperBound, reach) }
        var lengths = [Int](repeating: 0, count: reach)
        for n in from..<reach {
            let decoded = disassembler.decode(found.bytes, at: n, offset: first &+ UInt64(n) &- base, withText: false)
            lengths[n] = decoded.map { n + $0.length <= reach ? $0.length : 0 } ?? 0
        }
        var known = Set<Int>()
        for page in stride(from: first & ~0xFFF, through: place, by: 4096) {
            for start in processor.knownStarts(page: page) where start >= first && start < place { known.insert(Int(start - first)) }
        }
        // How many ways of reading come through each byte; a known start is worth more than all.
        var weight = [Int](repeating: 1, count: reach)
        for n in from..<reach {
            if known.contains(n) { weight[n] += 1_000_000 }
            guard lengths[n] > 0, n + lengths[n] < reach else { continue }
            weight[n + lengths[n]] += min(weight[n], 1 << 40)
        }
        // Back from the place, each time over the predecessor that most ways come through.
        var result: [Linear] = []
        var at = reach
        while result.count < count, at > from {
            var best = -1
            for n in max(from, at - Disassembler.longest)..<at where lengths[n] == at - n {
                if best < 0 || weight[n] > weight[best] { best = n }
            }
            // No instruction ends there: a byte of data.
            at = best >= 0 ? best : at - 1
            result.append(first &+ UInt64(at))
        }
        return result.reversed()
    }
}
