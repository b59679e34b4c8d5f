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
    static let count = 4096
    /// The stack's, for loads and for stores; from `first` on they are dealt out in turn.
    static let stackLoad = 0, stackStore = 1, first = 2
    /// As many as are remembered one by one; when more were filled, all are dropped.
    static let listed = 1024
    /// No canonical address, nor one of 32 bits, lies there; one that does all the same gets a page of its own.
    static let nowhere: UInt64 = 0x5C3A_91E7_46D2_B000
}

extension Core {
    /// One byte for each TLB entry: its page may be in a shortcut.
    static let shortcutMarks = jumpOffset + JumpEntry.entries * MemoryLayout<JumpEntry>.stride
    /// What `Shortcut.nowhere` leads to.
    static let blankOffset = shortcutMarks + 2 * TLBEntry.entries
    static let shortcutOffset = blankOffset + 2 * 4096
    /// Displacements of those that were filled, for each class; how many is in `Transient`.
    static let shortcutLists = shortcutOffset + 2 * Shortcut.count * MemoryLayout<Shortcut>.stride
    static let shortcutEnd = shortcutLists + 2 * Shortcut.listed * 4

    @inline(__always) private var blank: Shortcut {
        Shortcut(page: Shortcut.nowhere, addend: UInt(bitPattern: base + Core.blankOffset) &- UInt(truncatingIfNeeded: Shortcut.nowhere))
    }
    @inline(__always) private func shortcut(_ displacement: UInt32) -> UnsafeMutablePointer<Shortcut> {
        (base + Int(displacement)).assumingMemoryBound(to: Shortcut.self)
    }
    @inline(__always) private func shortcutList(user: Bool) -> UnsafeMutablePointer<UInt32> {
        (base + Core.shortcutLists).assumingMemoryBound(to: UInt32.self) + (user ? Shortcut.listed : 0)
    }
    @inline(__always) private var marks: UnsafeMutablePointer<Bool> { (base + Core.shortcutMarks).assumingMemoryBound(to: Bool.self) }

    /// TLB entries allow less than before.
    func dropShortcuts() {
        guard t.pointee.translating else { return }
        for user in [false, true] { dropShortcuts(user: user) { _ in true } }
        marks.update(repeating: false, count: 2 * TLBEntry.entries)
    }

    /// The TLB is flushed; with `keepGlobal` entries of global pages stay.
    func dropShortcuts(keepGlobal: Bool, _ globalSlots: UnsafePointer<Bool>) {
        guard keepGlobal else { return dropShortcuts() }
        guard t.pointee.translating else { return }
        dropShortcuts(user: true) { _ in true }
        dropShortcuts(user: false) { !globalSlots[Int(truncatingIfNeeded: ($0 &>> 12) & UInt64(TLBEntry.entries - 1))] }
        (marks + TLBEntry.entries).update(repeating: false, count: TLBEntry.entries)
    }

    /// TLB entry `index` is about to lose its page.
    @inline(__always)
    func forgetShortcut(_ index: Int) {
        guard marks[index] else { return }
        marks[index] = false
        let slot = UInt64(index & (TLBEntry.entries - 1))
        dropShortcuts(user: index >= TLBEntry.entries) { ($0 &>> 12) & UInt64(TLBEntry.entries - 1) == slot }
    }

    private func dropShortcuts(user: Bool, _ loses: (UInt64) -> Bool) {
        let count = Int(user ? t.pointee.userShortcuts : t.pointee.systemShortcuts)
        var kept = 0
        if count >= Shortcut.listed {
            (base + Core.shortcutOffset).assumingMemoryBound(to: Shortcut.self).advanced(by: user ? Shortcut.count : 0)
                .update(repeating: blank, count: Shortcut.count)
        } else {
            let list = shortcutList(user: user)
            for n in 0..<count {
                let entry = shortcut(list[n])
                if loses(entry.pointee.page) {
                    entry.pointee = blank
                } else {
                    list[kept] = list[n]
                    kept += 1
                }
            }
        }
        if user { t.pointee.userShortcuts = UInt32(kept) } else { t.pointee.systemShortcuts = UInt32(kept) }
    }

    // MARK: Returns

    /// Translated CALLs are calls of the host's, on a stack of their own: what lies on it is where translated RETs go. It must not be used once an
    /// address may lead elsewhere.
    @inline(__always)
    func forgetReturns() { t.pointee.returnStack = t.pointee.returnTop }
}
