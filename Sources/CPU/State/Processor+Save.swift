import Primitives

extension Processor {
    /// Everything that `restore` needs to go on at the same instruction. Between two calls of `run`.
    public var saved: ProcessorState? {
        let t = core.t.pointee
        return ProcessorState(
            registers: .init(core.v.pointee), arithmeticFlags: core.eflags & EFlags.arithmetic, intr: t.intr, nmi: t.nmi, nmiBlocked: t.nmiBlocked,
            pendingDebug: t.pendingDebug, translations: savedTranslations)
    }

    /// - Throws: the field that cannot be; the processor is unchanged then.
    public func restore(_ saved: ProcessorState) throws(ProcessorStateError) {
        let registers = try saved.registers.vcpu()
        try check(saved.translations)
        state = registers
        core.setArithmeticFlags(saved.arithmeticFlags)
        core.t.pointee.intr = saved.intr
        core.t.pointee.nmi = saved.nmi
        core.t.pointee.nmiBlocked = saved.nmiBlocked
        core.t.pointee.pendingDebug = saved.pendingDebug
        core.t.pointee.exitRequested = false
        core.modeChanged()
        restore(saved.translations)
        forgetHits()
        core.t.pointee.exitRequested = false
    }

    private var savedTranslations: ProcessorState.Translations {
        var result = ProcessorState.Translations()
        let tlb = core.t.pointee.systemTLB
        for index in 0..<(2 * TLBEntry.entries) {
            let entry = tlb[index]
            let tags = [entry.read, entry.write, entry.execute]
            guard let tag = tags.first(where: { $0 & TLBEntry.invalid == 0 }) else { continue }
            var rights: UInt8 = globalSlots[index] ? 8 : 0
            for (bit, tag) in tags.enumerated() where tag & TLBEntry.invalid == 0 { rights |= 1 << UInt8(bit) }
            if entry.read & 5 == 4 { rights |= 16 }
            if entry.write & 5 == 4 { rights |= 32 }
            result.slots.append(UInt16(index))
            result.linear.append(tag & ~0xFFF)
            let offset = entry.addend &+ UInt(truncatingIfNeeded: tag & ~0xFFF) &- UInt(bitPattern: memory.base)
            result.arena.append(UInt64(offset))
            result.rights.append(rights)
        }
        result.largeLow = core.t.pointee.largeLow
        result.largeHigh = core.t.pointee.largeHigh
        return result
    }

    private func check(_ saved: ProcessorState.Translations) throws(ProcessorStateError) {
        let count = saved.slots.count
        guard count <= 2 * TLBEntry.entries, saved.linear.count == count, saved.arena.count == count, saved.rights.count == count
        else { throw ProcessorStateError(field: "translations") }
        for n in 0..<count {
            let (slot, linear, arena) = (Int(saved.slots[n]), saved.linear[n], saved.arena[n])
            let mask = TLBEntry.entries - 1
            guard slot < 2 * TLBEntry.entries, linear & 0xFFF == 0, Int(truncatingIfNeeded: linear >> 12) & mask == slot & mask, arena & 0xFFF == 0,
                arena < UInt64(memory.arenaBytes)
            else { throw ProcessorStateError(field: "translations") }
        }
    }

    private func restore(_ saved: ProcessorState.Translations) {
        let tlb = core.t.pointee.systemTLB
        for n in saved.slots.indices {
            let index = Int(saved.slots[n]), linear = saved.linear[n], rights = saved.rights[n]
            let addend = UInt(bitPattern: memory.base) &+ UInt(saved.arena[n]) &- UInt(truncatingIfNeeded: linear)
            var entry = TLBEntry(read: TLBEntry.invalid, write: TLBEntry.invalid, execute: TLBEntry.invalid, addend: addend)
            if rights & 1 != 0 { entry.read = linear | (rights & 16 != 0 ? 4 : 0) }
            if rights & 2 != 0 { entry.write = linear | (rights & 32 != 0 ? 4 : 0) | (memory.storesAreSlow(Int(saved.arena[n] >> 12)) ? 2 : 0) }
            if rights & 4 != 0 { entry.execute = linear }
            tlb[index] = entry
            noteFilled(index, global: rights & 8 != 0)
        }
        core.t.pointee.largeLow = saved.largeLow
        core.t.pointee.largeHigh = saved.largeHigh
        if core.t.pointee.debugs.contains(.watches) { markWatches() }
    }
}
