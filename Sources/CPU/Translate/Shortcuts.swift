/// What translated code knows of the page that one of its memory operands met last: the software TLB without a look-up.
///
/// Each operand has a shortcut of its own, or shares one with few others, so that an access is one subtraction and one comparison with constants:
/// an address minus `page` of at most 4096 minus the operand's size lies on the page as a whole. A shortcut holds nothing that the TLB does not
/// hold: whatever makes an entry there stricter drops all shortcuts. Loads and stores have different ones.
struct Shortcut {
    /// Linear address of the page.
    var page: UInt64
    /// Host minus linear address.
    var addend: UInt

    /// For each privilege class.
    static let count = 16384
    /// The stack's, for loads and for stores; from `first` on they are dealt out in turn.
    static let stackLoad = 0, stackStore = 1, first = 2
    /// As many fills are remembered one by one; when there were more, all shortcuts of the class are dropped together.
    static let listed = 16384
    /// No canonical address, nor one of 32 bits, lies there; one that does all the same gets a page of its own.
    static let nowhere: UInt64 = 0x5C3A_91E7_46D2_B000
}

/// That a shortcut was filled from a TLB entry.
private struct ShortcutFill {
    /// Of the shortcut.
    var displacement: UInt32
    /// The one before of the same TLB entry, by number and plus 1; 0: none.
    var next: UInt32
}

extension Core {
    /// By TLB entry: its last fill, by number and plus 1; 0: its page is in no shortcut.
    static let shortcutHeads = jumpOffset + JumpEntry.entries * MemoryLayout<JumpEntry>.stride
    /// What `Shortcut.nowhere` leads to.
    static let blankOffset = shortcutHeads + 2 * TLBEntry.entries * 4
    static let shortcutOffset = blankOffset + 2 * 4096
    /// Fills since the last time that all were dropped, for each class; how many is in `Transient`.
    static let shortcutFills = shortcutOffset + 2 * Shortcut.count * MemoryLayout<Shortcut>.stride
    static let shortcutEnd = shortcutFills + 2 * Shortcut.listed * MemoryLayout<ShortcutFill>.stride

    @inline(__always) private var blank: Shortcut {
        Shortcut(page: Shortcut.nowhere, addend: UInt(bitPattern: base + Core.blankOffset) &- UInt(truncatingIfNeeded: Shortcut.nowhere))
    }
    @inline(__always) private func shortcut(_ displacement: UInt32) -> UnsafeMutablePointer<Shortcut> {
        (base + Int(displacement)).assumingMemoryBound(to: Shortcut.self)
    }
    @inline(__always) private func fills(user: Bool) -> UnsafeMutablePointer<ShortcutFill> {
        (base + Core.shortcutFills).assumingMemoryBound(to: ShortcutFill.self) + (user ? Shortcut.listed : 0)
    }
    @inline(__always) private var heads: UnsafeMutablePointer<UInt32> { (base + Core.shortcutHeads).assumingMemoryBound(to: UInt32.self) }

    /// TLB entries allow less than before.
    func dropShortcuts() {
        guard t.pointee.translating else { return }
        dropShortcuts(user: false)
        dropShortcuts(user: true)
    }

    /// TLB entry `index` is about to lose its page, or to allow less.
    @inline(__always)
    func forgetShortcut(_ index: Int) {
        let user = index >= TLBEntry.entries
        if (user ? t.pointee.userShortcuts : t.pointee.systemShortcuts) >= UInt32(Shortcut.listed) { return overflow(user) }
        if heads[index] != 0 { forget(index, user) }
    }

    @inline(never)
    private func forget(_ index: Int, _ user: Bool) {
        let slot = UInt64(index & (TLBEntry.entries - 1))
        let fills = fills(user: user)
        var number = heads[index]
        heads[index] = 0
        while number != 0 {
            let fill = fills[Int(number &- 1)]
            // It may be another entry's by now.
            let entry = shortcut(fill.displacement)
            if (entry.pointee.page &>> 12) & UInt64(TLBEntry.entries - 1) == slot { entry.pointee = blank }
            number = fill.next
        }
    }

    @inline(never)
    private func overflow(_ user: Bool) {
        if t.pointee.translating { dropShortcuts(user: user) }
    }

    private func dropShortcuts(user: Bool) {
        let count = Int(user ? t.pointee.userShortcuts : t.pointee.systemShortcuts)
        if count >= Shortcut.listed {
            (base + Core.shortcutOffset).assumingMemoryBound(to: Shortcut.self).advanced(by: user ? Shortcut.count : 0)
                .update(repeating: blank, count: Shortcut.count)
        } else {
            let fills = fills(user: user)
            for n in 0..<count { shortcut(fills[n].displacement).pointee = blank }
        }
        (heads + (user ? TLBEntry.entries : 0)).update(repeating: 0, count: TLBEntry.entries)
        if user { t.pointee.userShortcuts = 0 } else { t.pointee.systemShortcuts = 0 }
    }

    // MARK: Returns

    /// Translated CALLs are calls of the host's, on a stack of their own: what lies on it is where translated RETs go. It must not be used once an
    /// address may lead elsewhere.
    @inline(__always)
    func forgetReturns() { t.pointee.returnStack = t.pointee.returnTop }
}
