import Primitives

@testable import CPU

/// One vCPU in 64-bit mode with paging (identity, 2 MiB pages), all SIMD switched on, and an interrupt table whose handlers halt: bytes are run through
/// the decoder, exceptions are delivered.
final class VectorRig {
    let bus = FERRBus()
    let processor: Processor
    let memory: GuestMemory
    let c: Core

    /// Linear addresses: code, data; handlers of the 32 vectors, 16 bytes each.
    static let code: UInt64 = 0x10000, data: UInt64 = 0x20000, handlers: UInt64 = 0x8000, idt: UInt64 = 0x7000, gdt: UInt64 = 0x6000

    init(model: CPUModel = .level3, mode: Mode = .long, translation: TranslationSettings? = nil) throws {
        memory = try GuestMemory(ramBytes: 4 << 20, extraBytes: 4096)
        memory.setMap([.init(base: 0, bytes: 4 << 20, read: 0, write: 0)])
        processor = Processor(memory: memory, bus: bus, model: model, translation: translation)
        c = processor.core
        memory.store(0x1000, UInt64(0x2007))
        memory.store(0x2000, UInt64(0x3007))
        // The same again at 1 GiB: where the placed host has its code and memory.
        memory.store(0x2008, UInt64(0x3007))
        memory.store(0x3000, UInt64(0x0087))
        memory.store(0x3008, UInt64(0x20_0087))
        let long = mode == .long
        memory.store(VectorRig.gdt + 8, long ? UInt64(0x00AF_9B00_0000_FFFF) : 0x00CF_9B00_0000_FFFF)
        memory.store(VectorRig.gdt + 16, UInt64(0x00CF_9300_0000_FFFF))
        for n in 0..<32 {
            let handler = VectorRig.handlers + UInt64(16 * n)
            memory.write(handler, [0xF4])
            if long {
                memory.store(VectorRig.idt + UInt64(16 * n), handler & 0xFFFF | 8 << 16 | 0x8E00 << 32 | (handler >> 16) << 48)
                memory.store(VectorRig.idt + UInt64(16 * n + 8), UInt64(0))
            } else {
                memory.store(VectorRig.idt + UInt64(8 * n), handler & 0xFFFF | 8 << 16 | 0x8E00 << 32 | (handler >> 16) << 48)
            }
        }
        var state = processor.state
        state.cr0 = CR0.pe | CR0.mp | CR0.ne | CR0.et | (long ? CR0.pg : 0)
        state.cr4 = (CR4.pae | CR4.osfxsr | CR4.osxmmexcpt | CR4.osxsave) & model.cr4Mask
        state.cr3 = 0x1000
        state.xcr0 = 7
        state.efer = long ? 0x500 : 0
        for n in 0..<6 {
            state.seg[n].base = 0
            state.seg[n].limit = 0xFFFF_FFFF
            state.seg[n].attributes = n == Seg.cs ? (long ? 0xA09B : 0xC09B) : 0xC093
            state.seg[n].selector = n == Seg.cs ? 8 : 16
        }
        state.gdtrBase = VectorRig.gdt
        state.gdtrLimit = 23
        state.idtrBase = VectorRig.idt
        state.idtrLimit = 511
        state.fpu.control = 0x037F
        state.fpu.empty = 0xFF
        processor.state = state
    }

    enum Mode { case long, protected }

    /// Runs one instruction and returns the exception that it raised, nil: none.
    func run(_ bytes: [UInt8], at place: UInt64 = VectorRig.code) -> Int? {
        memory.write(place, bytes)
        var state = processor.state
        state.rip = place
        state.gpr[4] = 0x3F_0000
        state.halted = false
        processor.state = state
        _ = processor.run(budget: 1)
        let rip = c.rip
        guard rip >= VectorRig.handlers, rip < VectorRig.handlers + 512 else { return nil }
        return Int(rip - VectorRig.handlers) / 16
    }

    /// The same as the host runs it: RSI and RDI at the memory operand.
    func run(_ bytes: [UInt8], _ start: VectorState) -> VectorState {
        var state = processor.state
        for n in 0..<64 { state.vector[n] = start.vector[n] }
        for n in 0..<16 { state.gpr[n] = start.gpr[n] }
        state.gpr[6] = VectorRig.data + UInt64(VectorHost.origin)
        state.gpr[7] = state.gpr[6]
        for n in 0..<8 { state.fpu.significand[n] = start.mmx[n] }
        state.mxcsr = start.mxcsr
        state.xcr0 = 7
        processor.state = state
        processor.eflags = UInt32(start.flags)
        memory.write(VectorRig.data, start.memory)
        let fault = run(bytes)
        let end = processor.state
        var result = VectorState()
        for n in 0..<64 { result.vector[n] = end.vector[n] }
        for n in 0..<16 { result.gpr[n] = end.gpr[n] }
        for n in [4, 6, 7, 15] { result.gpr[n] = start.gpr[n] }
        for n in 0..<8 { result.mmx[n] = end.fpu.significand[n] }
        result.flags = UInt64(processor.eflags & 0x8D5) | 2
        result.mxcsr = end.mxcsr
        result.memory = memory.read(VectorRig.data, count: VectorHost.memoryBytes)
        result.fault = fault
        return result
    }

    /// Address of an instruction as the placed host has it, and of its memory's origin.
    static let placedCode: UInt64 = 0x4000_0000 + code + UInt64(VectorHost.instructionOffset)
    static let placedData: UInt64 = 0x4000_0000 + data + UInt64(VectorHost.origin)

    /// The same as the placed host runs it: integer registers, flags and memory. Ends behind the bytes or in a handler; nil: neither.
    /// - Parameter whole: one block with the HLT behind it; otherwise each instruction alone.
    func runPlaced(_ bytes: [UInt8], _ start: VectorState, whole: Bool) -> VectorState? {
        for n in 0..<16 where n != 4 { c.v.pointee.gpr[n] = start.gpr[n] }
        c.v.pointee.gpr[4] = 0x3F_0000
        c.v.pointee.rip = VectorRig.placedCode
        c.v.pointee.halted = false
        processor.eflags = UInt32(truncatingIfNeeded: start.flags)
        memory.write(VectorRig.data, start.memory)
        memory.write(VectorRig.code + UInt64(VectorHost.instructionOffset), bytes + [0xF4])
        if whole {
            // The translator leaves the last instructions of a budget to the interpreter.
            _ = processor.run(budget: 1000)
            guard c.v.pointee.halted else { return nil }
            c.v.pointee.rip -= 1
        } else {
            var steps = 0
            while c.rip >= VectorRig.placedCode, c.rip < VectorRig.placedCode + UInt64(bytes.count), steps < 64 {
                _ = processor.run(budget: 1)
                steps += 1
            }
        }
        var result = start
        if c.rip != VectorRig.placedCode + UInt64(bytes.count) {
            guard c.rip >= VectorRig.handlers, c.rip < VectorRig.handlers + 512 else { return nil }
            result.fault = Int(c.rip - VectorRig.handlers) / 16
        }
        for n in 0..<15 where n != 4 { result.gpr[n] = c.v.pointee.gpr[n] }
        result.flags = UInt64(processor.eflags & 0x8D5) | 2
        result.memory = memory.read(VectorRig.data, count: VectorHost.memoryBytes)
        return result
    }
}
